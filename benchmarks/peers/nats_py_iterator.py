"""nats-py with msgspec, one event in each message, received with ``async for``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats

from benchmarks import msgspec_events
from benchmarks.peers import Consume, Take, Wire
from benchmarks.peers.nats_py_single import NO_LIMIT, prepare, publisher, version

NAME = "nats-py, one event a message, msgspec, async for"
EVENTS = 40_000

__all__ = ["EVENTS", "NAME", "prepare", "publisher", "subscriber", "version"]


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Decode each message of an iterator."""
    client = await nats.connect(wire.url)
    decode = msgspec_events.decoder(wire.kind).decode
    subscription = await client.subscribe(
        wire.subject, pending_msgs_limit=NO_LIMIT, pending_bytes_limit=NO_LIMIT
    )
    await client.flush()

    async def consume(count: int) -> None:
        async for message in subscription.messages:
            event = decode(message.data)
            if take is not None:
                take(event)
            count -= 1
            if not count:
                break

    yield consume
    await client.close()
