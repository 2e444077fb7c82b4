"""From the receiver to the consumer: ring and cursor, compared with ``asyncio.Queue``."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks import data, native
from benchmarks.micro import Contender, Contest, clock, drive
from fastcoord._codec import decode_batch
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.ring import Ring

PROTOCOL = "fastcoord-1"
QUEUE = "asyncio.Queue"


def contests() -> list[Contest]:
    """Return all contests of this file, with checked results."""
    events = data.state_changes()
    asyncio.run(_check(events))
    return [ring_contest(), events_contest(events), batches_contest(events), lone_contest(events)]


def new_cursor(capacity: int = 1024) -> Cursor:
    """Return a cursor with a ring, which fails instead of waiting."""

    def never() -> Any:
        raise AssertionError("the ring is empty too early")

    ring = Ring(capacity, 64 * 1024 * 1024)
    return Cursor(
        ring,
        protocol=PROTOCOL,
        kinds=None,
        as_notices=lambda dropped: [],
        get_loop=never,
    )


async def _check(events: list[Any]) -> None:
    payload = data.payload(events)
    cursor = new_cursor()
    cursor.ring.put_message(payload, 1, len(events), 2, 1.0)
    taken = [await anext(cursor) for _ in events]
    assert taken == events
    cursor.ring.put_message(payload, 1, len(events), 2, 1.0)
    assert await anext(cursor.batches()) == decode_batch(payload, protocol=PROTOCOL)
    assert len(cursor.ring) == 0


def queue_items(count: int, item: object) -> Contender:
    """Put items into a queue and take them again, without waiting."""
    queue: asyncio.Queue[object] = asyncio.Queue()

    def run(times: int) -> float:
        start = clock()
        for _ in range(times):
            for _ in range(count):
                queue.put_nowait(item)
            for _ in range(count):
                queue.get_nowait()
        return clock() - start

    return Contender(QUEUE, run, count)


def queue_events(events: list[Any]) -> Contender:
    """Put event objects into a queue; a consumer awaits each."""

    async def body(times: int) -> None:
        queue: asyncio.Queue[object] = asyncio.Queue()
        for _ in range(times):
            for event in events:
                queue.put_nowait(event)
            for _ in events:
                await queue.get()

    return Contender(QUEUE, drive(body), len(events))


def ring_contest() -> Contest:
    """Pass messages through the ring, as receiver and cursor do."""
    payload = data.payload(data.state_changes(1))
    contenders = [queue_items(data.BATCH, payload)]
    title = "Put 100 messages and take them"
    try:
        put_and_take = native.ring_loop().put_and_take
    except native.Unavailable as problem:
        return Contest("ring", title, contenders, note=f"not measured: {problem}")

    def run(times: int) -> float:
        ring = Ring(1024, 64 * 1024 * 1024)
        start = clock()
        taken = put_and_take(ring, payload, data.BATCH, times)
        seconds = clock() - start
        assert (taken, ring.arrived, ring.missed) == (times * data.BATCH, taken, 0)
        return seconds

    ring = Contender("fastcoord ring", run, data.BATCH)
    note = (
        "The ring is called from compiled code, as by the receiver and the cursor;"
        " the queue is called with put_nowait and get_nowait."
    )
    return Contest("ring", title, [ring, *contenders], note=note)


def events_contest(events: list[Any]) -> Contest:
    """Put a message of many events; the consumer awaits each event."""
    payload = data.payload(events)

    async def body(times: int) -> None:
        cursor = new_cursor()
        put = cursor.ring.put_message
        for _ in range(times):
            put(payload, 1, len(events), 2, 1.0)
            cursor.resume()
            left = len(events)
            async for _event in cursor:
                left -= 1
                if not left:
                    break

    return Contest(
        "ring_events",
        "Put a message of 100 events, take 100 objects by `async for`",
        [Contender("fastcoord ring, cursor", drive(body), len(events)), queue_events(events)],
        note="fastcoord decodes the events; the queue receives finished objects.",
    )


def batches_contest(events: list[Any]) -> Contest:
    """Put a message of many events; the consumer awaits it as a batch."""
    payload = data.payload(events)

    async def body(times: int) -> None:
        cursor = new_cursor()
        put = cursor.ring.put_message
        batches = cursor.batches()
        for _ in range(times):
            put(payload, 1, len(events), 2, 1.0)
            cursor.resume()
            for _event in await anext(batches):
                pass

    return Contest(
        "ring_batches",
        "Put a message of 100 events, take a batch and its 100 objects",
        [Contender("fastcoord ring, batches", drive(body), len(events)), queue_events(events)],
        note="fastcoord decodes the events; the queue receives finished objects.",
    )


def lone_contest(events: list[Any]) -> Contest:
    """Put messages of one event each; the consumer awaits each event."""
    payloads = [data.payload([event]) for event in events]

    async def body(times: int) -> None:
        cursor = new_cursor()
        put = cursor.ring.put_message
        for _ in range(times):
            for payload in payloads:
                put(payload, 1, 1, 2, 1.0)
            cursor.resume()
            left = len(events)
            async for _event in cursor:
                left -= 1
                if not left:
                    break

    return Contest(
        "ring_lone",
        "Put 100 messages of one event, take 100 objects by `async for`",
        [Contender("fastcoord ring, cursor", drive(body), len(events)), queue_events(events)],
        note="Each put is a call from Python, which costs more than the put itself.",
    )
