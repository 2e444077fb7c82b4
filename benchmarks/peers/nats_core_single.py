"""nats-core with msgspec, one event in each message; needs Python 3.13."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

import msgspec
from nats.client import connect

from benchmarks import msgspec_events
from benchmarks.peers import Consume, Flush, Publish, Take, Wire
from benchmarks.peers.nats_py_single import prepare

NAME = "nats-core, one event a message, msgspec"
EVENTS = 60_000

__all__ = ["EVENTS", "NAME", "prepare", "publisher", "subscriber", "version"]


def version() -> str:
    """Return the versions of both libraries."""
    return f"{metadata.version('nats-core')}, msgspec {msgspec.__version__}"


@asynccontextmanager
async def publisher(wire: Wire) -> AsyncIterator[tuple[Publish, Flush]]:
    """Publish one by one."""
    client = await connect(wire.url)
    encode = msgspec_events.encoder.encode

    async def publish(structs: Sequence[Any]) -> None:
        for struct in structs:
            await client.publish(wire.subject, encode(struct))

    yield publish, client.flush
    await client.close()


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Decode each message of an iterator."""
    client = await connect(wire.url)
    decode = msgspec_events.decoder(wire.kind).decode
    subscription = await client.subscribe(
        wire.subject, max_pending_messages=None, max_pending_bytes=None
    )
    await client.flush()

    async def consume(count: int) -> None:
        async for message in subscription:
            event = decode(message.data)
            if take is not None:
                take(event)
            count -= 1
            if not count:
                break

    yield consume
    await client.close()
