"""nats-py with msgspec, one event in each message, received with a callback (its fastest way)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

import msgspec
import nats

from benchmarks import msgspec_events
from benchmarks.peers import Consume, Countdown, Flush, Publish, Take, Wire

NAME = "nats-py, one event a message, msgspec"
EVENTS = 60_000

NO_LIMIT = 1 << 40
"""A limit that is never reached, so that the subscription drops nothing."""


def version() -> str:
    """Return the versions of both libraries."""
    return f"{metadata.version('nats-py')}, msgspec {msgspec.__version__}"


def prepare(events: Sequence[Any]) -> list[Any]:
    """Convert the events to structs."""
    return msgspec_events.as_structs(events)


@asynccontextmanager
async def publisher(wire: Wire) -> AsyncIterator[tuple[Publish, Flush]]:
    """Publish one by one."""
    client = await nats.connect(wire.url)
    encode = msgspec_events.encoder.encode
    subject = wire.subject

    async def publish(structs: Sequence[Any]) -> None:
        for struct in structs:
            await client.publish(subject, encode(struct))

    yield publish, client.flush
    await client.close()


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Decode each message in a callback."""
    client = await nats.connect(wire.url)
    decode = msgspec_events.decoder(wire.kind).decode
    countdown = Countdown()

    async def arrive(message: Any) -> None:
        event = decode(message.data)
        if take is not None:
            take(event)
        countdown.step(1)

    await client.subscribe(
        wire.subject, cb=arrive, pending_msgs_limit=NO_LIMIT, pending_bytes_limit=NO_LIMIT
    )
    await client.flush()

    async def consume(count: int) -> None:
        await countdown.wait(asyncio.get_running_loop(), count)

    yield consume
    await client.close()
