"""nats-py with msgspec: an event a message, received by callback, its fastest way."""

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

NAME = "nats-py, an event a message, msgspec"
EVENTS = 60_000

MUCH = 1 << 40
"""More than ever waits: its subscription then drops nothing."""


def version() -> str:
    """Give the versions of both libraries."""
    return f"{metadata.version('nats-py')}, msgspec {msgspec.__version__}"


def prepare(events: Sequence[Any]) -> list[Any]:
    """Give Structs of the events' one type."""
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
        wire.subject, cb=arrive, pending_msgs_limit=MUCH, pending_bytes_limit=MUCH
    )
    await client.flush()

    async def consume(count: int) -> None:
        await countdown.wait(asyncio.get_running_loop(), count)

    yield consume
    await client.close()
