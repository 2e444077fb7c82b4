"""The subscribing process of a run."""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

import fastcoord
from fastcoord import Missed, Notice
from fastcoord.tuning.event_data import NumberedEvents
from fastcoord.tuning.job import Progress, Reply, SubscriberResult
from fastcoord.tuning.orders import Orders, say, write_samples
from fastcoord.tuning.usage import event_loop, memory_peak, processor_seconds, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastcoord import Node, Subscription
    from fastcoord.tuning.job import Job

__all__ = ["Ledger", "subscribe"]

LONGEST_SILENCE = 15.0
"""Seconds without an event after which missing events are no longer expected, at most."""

PROGRESS_INTERVAL = 0.25
GRACE = 0.1
"""Seconds for which duplicates are still counted after the last expected event."""


class Ledger:
    """Account for every event of every publisher by the number that it carries.

    :param publishers: the number of publishers. Event ``n`` of publisher ``p`` has the number
        ``n * publishers + p``.
    """

    def __init__(self, publishers: int) -> None:
        self.publishers = publishers
        self.received = 0
        self.duplicated = 0
        self.out_of_order = 0
        self._expected = [0] * publishers
        self._gaps: list[list[tuple[int, int]]] = [[] for _ in range(publishers)]

    @property
    def distinct(self) -> int:
        """The events received, each counted once."""
        return self.received - self.duplicated

    def note(self, number: int) -> None:
        """Note an event."""
        self.received += 1
        index, publisher = divmod(number, self.publishers)
        expected = self._expected[publisher]
        if index == expected:
            self._expected[publisher] = index + 1
        elif index > expected:
            self._gaps[publisher].append((expected, index))
            self._expected[publisher] = index + 1
        else:
            self._note_earlier(publisher, index)

    def _note_earlier(self, publisher: int, index: int) -> None:
        gaps = self._gaps[publisher]
        place = bisect_right(gaps, (index, float("inf"))) - 1
        if place < 0 or index >= gaps[place][1]:
            self.duplicated += 1
            return
        self.out_of_order += 1
        begin, end = gaps[place]
        gaps[place : place + 1] = [
            part for part in ((begin, index), (index + 1, end)) if part[0] < part[1]
        ]


class Reader:
    """Read the events of one process.

    :param job: the job of this process.
    :param events: the subscription.
    """

    def __init__(self, job: Job, events: Subscription) -> None:
        load = job.load
        self.ledger = Ledger(load.publishers)
        self.samples = array("q")
        self.reported: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.foreign = 0
        self.last_read = time.monotonic_ns()
        self.stall = 0.0
        """Seconds for which the next read is delayed."""
        self.is_stalled = False
        self._events = events
        self._by_batch = load.read == "batches"
        self._publishers, self._stride = load.publishers, job.stride
        self._readers: dict[type, Callable[[Any], int]] = dict(NumberedEvents.readers(load.mix))

    async def read(self) -> None:
        """Read until the subscription ends."""
        if self._by_batch:
            async for batch in self._events.batches():
                if self.stall:
                    await self._pause()
                if isinstance(batch, Notice):
                    self._notice(batch)
                else:
                    self._take(batch)
            return
        async for event in self._events:
            if self.stall:
                await self._pause()
            if isinstance(event, Notice):
                self._notice(event)
            else:
                self._take((event,))

    def _take(self, events: Iterable[Any]) -> None:
        note, readers = self.ledger.note, self._readers
        publishers, stride = self._publishers, self._stride
        now = time.monotonic_ns()
        for event in events:
            read = readers.get(type(event))
            if read is None:
                self.foreign += 1
                continue
            number = read(event)
            if number // publishers % stride == 0:
                self.samples.append(number)
                self.samples.append(time.monotonic_ns())
            note(number)
        self.last_read = now

    def _notice(self, notice: Notice) -> None:
        if isinstance(notice, Missed):
            if notice.events is None:
                self.unknown[notice.cause] += 1
            else:
                self.reported[notice.cause] += notice.events

    async def _pause(self) -> None:
        seconds, self.stall = self.stall, 0.0
        self.is_stalled = True
        await asyncio.sleep(seconds)
        self.is_stalled = False


async def subscribe(job: Job, orders: Orders) -> None:
    """Read the events of one process until all are accounted for, and report them."""
    async with fastcoord.connect(job.config()) as node, node.subscribe() as events:
        reader = Reader(job, events)
        memory = resident_bytes()
        reading = asyncio.create_task(reader.read())
        say(Reply(ready=True))
        try:
            start = await orders.start
            measuring = asyncio.create_task(_note_begin(job, reader, start))
            stalling = asyncio.create_task(_stall(job, reader, start))
            # A heartbeat reports that the last message is lost, and may itself be late.
            silence = min(2 + 2 * job.config().cluster.heartbeat, LONGEST_SILENCE)
            by_silence = await _wait_for_end(reader, reading, orders, node, silence)
            used = processor_seconds()
        finally:
            reading.cancel()
        stalling.cancel()
        if measuring.done():
            begun, received_before, used_before = measuring.result()
        else:
            measuring.cancel()
            begun, received_before, used_before = reader.last_read, reader.ledger.received, used
        write_samples(job.samples, reader.samples)
        say(
            Reply(
                subscriber=_result(
                    reader, node, by_silence, memory, received_before, begun, used - used_before
                )
            )
        )


def _result(
    reader: Reader,
    node: Node,
    by_silence: bool,
    memory: int,
    received_before: int,
    begun: int,
    cpu_seconds: float,
) -> SubscriberResult:
    stats, ledger = node.stats(), reader.ledger
    return SubscriberResult(
        received=ledger.received,
        duplicated=ledger.duplicated,
        out_of_order=ledger.out_of_order,
        foreign=reader.foreign,
        reported=dict(reader.reported),
        unknown_losses=dict(reader.unknown),
        messages=stats.received_batches,
        received_bytes=stats.received_bytes,
        measured_events=ledger.received - received_before,
        read_seconds=max(0, reader.last_read - begun) / 1e9,
        cpu_seconds=cpu_seconds,
        memory_before=memory,
        memory_peak=memory_peak(),
        high_water_messages=max(each.high_water_messages for each in stats.subscriptions),
        reconnects=stats.reconnects,
        event_loop=event_loop(),
        ended_by_silence=by_silence,
    )


async def _wait_for_end(
    reader: Reader, reading: asyncio.Task[None], orders: Orders, node: Node, silence: float
) -> bool:
    """Wait until every event was received or reported as missed, or until nothing arrives.

    :param silence: seconds without an event after which missing events are no longer expected.
    :return: whether events were neither received nor reported.
    """
    ledger = reader.ledger
    next_report = 0.0
    while not (orders.stopped or reading.done()):
        await asyncio.sleep(0.02)
        now = time.monotonic()
        reported = reader.reported.total()
        if now >= next_report:
            next_report = now + PROGRESS_INTERVAL
            waiting = sum(each.buffered for each in node.stats().subscriptions)
            say(Reply(progress=Progress(events=ledger.received, missed=reported, waiting=waiting)))
        if orders.total is None or reader.is_stalled:
            continue
        if ledger.distinct + reported >= orders.total:
            await asyncio.sleep(GRACE)
            return False
        if time.monotonic_ns() - reader.last_read > silence * 1e9:
            return True
    if reading.done() and not orders.stopped:
        await reading  # raises what ended the subscription
    return False


async def _stall(job: Job, reader: Reader, start: int) -> None:
    if job.load.stall:
        at = start + int(job.load.incident_at * 1e9)
        await asyncio.sleep(max(0.0, (at - time.monotonic_ns()) / 1e9))
        reader.stall = job.load.stall


async def _note_begin(job: Job, reader: Reader, start: int) -> tuple[int, int, float]:
    """Return time, events and CPU seconds at the end of the warm-up."""
    begin = start + int(job.load.warm_up * 1e9)
    await asyncio.sleep(max(0.0, (begin - time.monotonic_ns()) / 1e9))
    return time.monotonic_ns(), reader.ledger.received, processor_seconds()
