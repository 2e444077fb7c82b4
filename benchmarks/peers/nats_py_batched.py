"""nats-py with msgspec, with batches of 100 made by the program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import nats

from benchmarks import msgspec_events
from benchmarks.data import BATCH
from benchmarks.peers import Consume, Countdown, Flush, Publish, Take, Wire
from benchmarks.peers.nats_py_single import NO_LIMIT, prepare, version

NAME = "nats-py, batches of 100 made by hand, msgspec"
EVENTS = 1_000_000

__all__ = ["EVENTS", "NAME", "prepare", "publisher", "subscriber", "version"]


@asynccontextmanager
async def publisher(wire: Wire) -> AsyncIterator[tuple[Publish, Flush]]:
    """Collect events one by one, and publish each 100 of them."""
    client = await nats.connect(wire.url)
    encode = msgspec_events.encoder.encode
    subject = wire.subject

    async def publish(structs: Sequence[Any]) -> None:
        waiting: list[Any] = []
        for struct in structs:
            waiting.append(struct)
            if len(waiting) == BATCH:
                await client.publish(subject, encode(waiting))
                waiting.clear()
        if waiting:
            await client.publish(subject, encode(waiting))

    yield publish, client.flush
    await client.close()


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Decode each message in a callback, and iterate over its events."""
    client = await nats.connect(wire.url)
    decode = msgspec_events.list_decoder(wire.kind).decode
    countdown = Countdown()

    async def arrive(message: Any) -> None:
        arrived = 0
        for event in decode(message.data):
            arrived += 1
            if take is not None:
                take(event)
        countdown.step(arrived)

    await client.subscribe(
        wire.subject, cb=arrive, pending_msgs_limit=NO_LIMIT, pending_bytes_limit=NO_LIMIT
    )
    await client.flush()

    async def consume(count: int) -> None:
        await countdown.wait(asyncio.get_running_loop(), count)

    yield consume
    await client.close()
