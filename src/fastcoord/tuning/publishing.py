"""The publishing process of a run."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import TYPE_CHECKING

import fastcoord
from fastcoord.tuning.event_data import NumberedEvents
from fastcoord.tuning.job import Progress, PublisherResult, Reply
from fastcoord.tuning.orders import Orders, say, write_samples
from fastcoord.tuning.ticker import Ticker
from fastcoord.tuning.usage import event_loop, memory_peak, processor_seconds, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fastcoord import Event, Node
    from fastcoord.tuning.job import Job

__all__ = ["publish"]

SHORTEST_TICK = 200_000
"""Nanoseconds between two checks of the schedule at the most frequent."""

EVENTS_PER_CHECK = 256
"""How many events are published between two looks at the clock."""

LONGEST_HOLD = 50_000_000
"""Nanoseconds after which events that are late do not keep the event loop from other work."""

PATIENCE = 2_000_000_000
"""Nanoseconds, besides half of the duration, after which a publisher that is late gives up."""

PROGRESS_INTERVAL = 0.25
FLUSH_TIMEOUT = 15.0

STOP_TIMEOUT = 1.0
"""Seconds that a stopped run waits for a call of ``publish``, and for the confirmation."""


class Publisher:
    """Publish the events of one process on schedule, or as fast as possible.

    :param job: the job of this process.
    :param node: the node to publish with.
    :param orders: ends the work early.
    """

    def __init__(self, job: Job, node: Node, orders: Orders) -> None:
        load = job.load
        self.load = load
        self.index = job.index
        self.sent = 0
        self.samples = array("q")
        self.latest = 0
        self.late_at_end = 0
        self._node = node
        self._orders = orders
        self._stride = job.stride
        self._publishers = load.publishers
        self._make = NumberedEvents(load.mix, load.payload_bytes, load.seed + job.index).make
        self._tasks: set[asyncio.Task[None]] = set()
        self._send = {"loop": self._send_loop, "lone": self._send_lone, "list": self._send_lists}[
            load.style
        ]

    async def on_schedule(self, start: int) -> None:
        """Publish each event when it is due, however long earlier ones have taken."""
        load = self.load
        assert load.rate is not None
        count = load.events_per_publisher or 0
        interval = max(SHORTEST_TICK, int(load.group * load.publishers / load.rate * 1e9))
        give_up_at = start + int((load.warm_up + load.seconds) * 1.5e9) + PATIENCE
        stall_at = start + int(load.incident_at * 1e9) if load.generator_stall else None
        with Ticker(start, interval) as ticks:
            while self.sent < count and not self._orders.stopped:
                await ticks.wait()
                now = time.monotonic_ns()
                if stall_at is not None and now >= stall_at:
                    stall_at = None
                    await asyncio.sleep(load.generator_stall)
                    now = time.monotonic_ns()
                if now > give_up_at:
                    break
                due = min(count, load.due(self.index, now - start))
                if due > self.sent:
                    self.latest = max(self.latest, now - start - load.due_at(self.index, self.sent))
                    await self._send_due(due, give_up_at)
        if self.sent:
            last = load.due_at(self.index, self.sent - 1)
            self.late_at_end = max(0, time.monotonic_ns() - start - last)
            self.latest = max(self.latest, self.late_at_end)

    async def _send_due(self, due: int, give_up_at: int) -> None:
        """Publish what is due, unless the run is stopped or the time to give up has come."""
        since = time.monotonic_ns()
        while self.sent < due:
            await self._send(min(due, self.sent + EVENTS_PER_CHECK))
            now = time.monotonic_ns()
            if now - since > LONGEST_HOLD:
                await asyncio.sleep(0)
                since = now
                if self._orders.stopped or now > give_up_at:
                    return

    async def flat_out(self, start: int) -> None:
        """Publish as fast as possible until the time is over."""
        load = self.load
        await asyncio.sleep(max(0.0, (start - time.monotonic_ns()) / 1e9))
        end = start + int((load.warm_up + load.seconds) * 1e9)
        step = max(EVENTS_PER_CHECK, load.group)
        while time.monotonic_ns() < end and not self._orders.stopped:
            await self._send(self.sent + step)
            if load.nowait:
                await asyncio.sleep(0)

    async def _send_loop(self, until: int) -> None:
        node, make, step = self._node, self._make, self._publishers
        for number in range(self.sent * step + self.index, until * step + self.index, step):
            event = make(number)
            self._sample(number)
            if self.load.nowait:
                node.publish_nowait(event)
            else:
                await node.publish(event)
            self.sent += 1

    async def _send_lone(self, until: int) -> None:
        node, make, step = self._node, self._make, self._publishers
        for number in range(self.sent * step + self.index, until * step + self.index, step):
            event = make(number)
            self._sample(number)
            if self.load.nowait:
                task = asyncio.create_task(self._publish_alone(event))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                await node.publish(event)
            self.sent += 1
            await asyncio.sleep(0)

    async def _publish_alone(self, event: Event) -> None:
        self._node.publish_nowait(event)

    async def _send_lists(self, until: int) -> None:
        node, make, step = self._node, self._make, self._publishers
        size = self.load.list_size
        while self.sent < until:
            numbers = [(self.sent + each) * step + self.index for each in range(size)]
            events = [make(number) for number in numbers]
            for number in numbers:
                self._sample(number)
            if self.load.nowait:
                node.publish_nowait(*events)
            else:
                await node.publish_many(events)
            self.sent += size

    def _sample(self, number: int) -> None:
        if number // self._publishers % self._stride == 0:
            self.samples.append(number)
            self.samples.append(time.monotonic_ns())


async def publish(job: Job, orders: Orders) -> None:
    """Publish the load of one process, and report it on standard output."""
    load = job.load
    async with fastcoord.connect(job.config()) as node:
        publisher = Publisher(job, node, orders)
        memory = resident_bytes()
        say(Reply(ready=True))
        start = await orders.start
        measuring = asyncio.create_task(_note_begin(publisher, start))
        showing = asyncio.create_task(_show(publisher, node))
        work = publisher.flat_out if load.rate is None else publisher.on_schedule
        try:
            await _until_stopped(work(start), orders)
            end, used = time.monotonic_ns(), processor_seconds()
        finally:
            showing.cancel()
        if measuring.done():
            begun, sent_before, used_before = measuring.result()
        else:  # the run was stopped within the warm-up
            measuring.cancel()
            begun, sent_before, used_before = end, publisher.sent, used
        problem = await _flush(node, STOP_TIMEOUT if orders.stopped else FLUSH_TIMEOUT)
        write_samples(job.samples, publisher.samples)
        stats = node.stats()
        say(
            Reply(
                publisher=PublisherResult(
                    sent=publisher.sent,
                    accepted=stats.accepted,
                    confirmed=stats.confirmed,
                    discarded=stats.discarded,
                    messages=stats.sent_batches,
                    sent_bytes=stats.sent_bytes,
                    measured_events=publisher.sent - sent_before,
                    measured_seconds=(end - begun) / 1e9,
                    cpu_seconds=used - used_before,
                    memory_before=memory,
                    memory_peak=memory_peak(),
                    late_at_end=publisher.late_at_end / 1e9,
                    latest=publisher.latest / 1e9,
                    reconnects=stats.reconnects,
                    event_loop=event_loop(),
                    flush_problem=problem,
                )
            )
        )
        while not orders.stopped:  # noqa: ASYNC110 - the node stays until the subscribers are done
            await asyncio.sleep(0.02)


async def _note_begin(publisher: Publisher, start: int) -> tuple[int, int, float]:
    """Return time, events and CPU seconds at the end of the warm-up."""
    begin = start + int(publisher.load.warm_up * 1e9)
    await asyncio.sleep(max(0.0, (begin - time.monotonic_ns()) / 1e9))
    return time.monotonic_ns(), publisher.sent, processor_seconds()


async def _show(publisher: Publisher, node: Node) -> None:
    while True:
        await asyncio.sleep(PROGRESS_INTERVAL)
        say(Reply(progress=Progress(events=publisher.sent, waiting=node.stats().waiting)))


async def _until_stopped(work: Coroutine[None, None, None], orders: Orders) -> None:
    """Publish until the end; if the run is stopped, do not wait for a server that does not answer.

    :param work: publishes.
    :param orders: stops the run.
    """
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(orders.stopping.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({working}, timeout=STOP_TIMEOUT)
        if working.done():
            working.result()
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait({working, stopping})


async def _flush(node: Node, timeout: float) -> str | None:
    """Wait for the confirmation of all events.

    :param timeout: seconds.
    :return: why it did not arrive.
    """
    try:
        await asyncio.wait_for(node.flush(), timeout)
    except (fastcoord.FastcoordError, TimeoutError, asyncio.TimeoutError) as error:
        # Events that capacity.client discarded during the flush are counted, they are no problem.
        stats = node.stats()
        if stats.confirmed + stats.discarded < stats.accepted:
            return f"{type(error).__name__}: {error}"
    return None
