"""nats-py with msgspec: one event a message, and batches of 100 by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats

from benchmarks import msgspec_events
from benchmarks.data import BATCH
from benchmarks.msgspec_events import AppEvent, StateChange
from benchmarks.peers import Wire
from benchmarks.peers.nats_py_single import NO_LIMIT, version
from benchmarks.user_loop import (
    ACCOUNTS,
    FIRST_CHANGE_ID,
    KINDS,
    REPEATS,
    Answer,
    Produce,
    Read,
    answer,
)


class Single:
    """An event a message."""

    name = "nats-py, one event a message, msgspec"
    events = 60_000
    version = staticmethod(version)

    @asynccontextmanager
    async def producer(self, wire: Wire) -> AsyncIterator[Produce]:
        """Make and publish events one by one."""
        client = await nats.connect(wire.url)
        publish, subject = client.publish, wire.subject
        encode = msgspec_events.encoder.encode

        async def produce(count: int) -> None:
            if wire.kind == "AppEvent":
                for number in range(count):
                    event = AppEvent(number % KINDS, number.to_bytes(4, "big") * REPEATS)
                    await publish(subject, encode(event))
            else:
                for number in range(count):
                    change = StateChange(number % ACCOUNTS, FIRST_CHANGE_ID + number, number % 64)
                    await publish(subject, encode(change))
            await client.flush()

        yield produce
        await client.close()

    @asynccontextmanager
    async def reader(self, wire: Wire) -> AsyncIterator[Read]:
        """Read in a callback."""
        client = await nats.connect(wire.url)
        decode = msgspec_events.decoder(wire.kind).decode
        last: dict[int, Any] = {}
        total = taken = 0
        wanted = 1 << 62
        done = asyncio.get_running_loop().create_future()

        async def arrive(message: Any) -> None:
            nonlocal total, taken
            event = decode(message.data)
            last[event.account_id] = event.change_id
            total += event.types
            taken += 1
            if taken == wanted and not done.done():
                done.set_result(None)

        async def arrive_app(message: Any) -> None:
            nonlocal total, taken
            event = decode(message.data)
            last[event.kind] = event.payload
            total += event.kind
            taken += 1
            if taken == wanted and not done.done():
                done.set_result(None)

        await client.subscribe(
            wire.subject,
            cb=arrive_app if wire.kind == "AppEvent" else arrive,
            pending_msgs_limit=NO_LIMIT,
            pending_bytes_limit=NO_LIMIT,
        )
        await client.flush()

        async def read(count: int) -> Answer:
            nonlocal wanted
            wanted = count
            if taken < count:
                await done
            return answer(wire.kind, last, total)

        yield read
        await client.close()


class Batched:
    """Batches of 100 made by hand."""

    name = "nats-py, batches of 100 made by hand, msgspec"
    events = 1_000_000
    version = staticmethod(version)

    @asynccontextmanager
    async def producer(self, wire: Wire) -> AsyncIterator[Produce]:
        """Make events one by one; publish them when there are 100."""
        client = await nats.connect(wire.url)
        publish, subject = client.publish, wire.subject
        encode = msgspec_events.encoder.encode

        async def produce(count: int) -> None:
            waiting: list[Any] = []
            for number in range(count):
                waiting.append(
                    StateChange(number % ACCOUNTS, FIRST_CHANGE_ID + number, number % 64)
                )
                if len(waiting) == BATCH:
                    await publish(subject, encode(waiting))
                    waiting.clear()
            if waiting:
                await publish(subject, encode(waiting))
            await client.flush()

        yield produce
        await client.close()

    @asynccontextmanager
    async def reader(self, wire: Wire) -> AsyncIterator[Read]:
        """Read each batch in a callback."""
        client = await nats.connect(wire.url)
        decode = msgspec_events.list_decoder(wire.kind).decode
        last: dict[int, Any] = {}
        total = taken = 0
        wanted = 1 << 62
        done = asyncio.get_running_loop().create_future()

        async def arrive(message: Any) -> None:
            nonlocal total, taken
            events = decode(message.data)
            for event in events:
                last[event.account_id] = event.change_id
                total += event.types
            taken += len(events)
            if taken >= wanted and not done.done():
                done.set_result(None)

        await client.subscribe(
            wire.subject, cb=arrive, pending_msgs_limit=NO_LIMIT, pending_bytes_limit=NO_LIMIT
        )
        await client.flush()

        async def read(count: int) -> Answer:
            nonlocal wanted
            wanted = count
            if taken < count:
                await done
            return answer(wire.kind, last, total)

        yield read
        await client.close()
