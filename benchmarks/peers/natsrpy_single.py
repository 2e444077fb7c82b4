"""natsrpy (async-nats in Rust) with msgspec, one event in each message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

import msgspec
from natsrpy import Nats

from benchmarks import msgspec_events
from benchmarks.peers import Consume, Flush, Publish, Take, Wire
from benchmarks.peers.nats_py_single import prepare

NAME = "natsrpy, one event a message, msgspec"
EVENTS = 20_000

__all__ = ["EVENTS", "NAME", "prepare", "publisher", "subscriber", "version"]


def version() -> str:
    """Return the versions of both libraries."""
    return f"{metadata.version('natsrpy')}, msgspec {msgspec.__version__}"


@asynccontextmanager
async def publisher(wire: Wire) -> AsyncIterator[tuple[Publish, Flush]]:
    """Publish one by one."""
    client = Nats([wire.url])
    await client.startup()
    encode = msgspec_events.encoder.encode

    async def publish(structs: Sequence[Any]) -> None:
        for struct in structs:
            await client.publish(wire.subject, encode(struct))

    async def flush() -> None:
        await client.flush()

    yield publish, flush
    await client.shutdown()


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Decode each message of an iterator."""
    client = Nats([wire.url])
    await client.startup()
    decode = msgspec_events.decoder(wire.kind).decode
    async with client.subscribe(wire.subject) as subscription:
        await client.flush()

        async def consume(count: int) -> None:
            async for message in subscription:
                event = decode(message.payload)
                if take is not None:
                    take(event)
                count -= 1
                if not count:
                    break

        yield consume
    await client.shutdown()
