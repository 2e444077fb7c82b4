"""One node process of the demo: ``python -m fastcoord.cli.demo.node TASK``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING

import msgspec

import fastcoord
from fastcoord.cli.demo.events import EventMix
from fastcoord.cli.demo.messages import NodeReport, NodeTask, Order, Phase, Totals
from fastcoord.errors import FastcoordError
from fastcoord.events import Missed, Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord import Batch, Node

REPORT_INTERVAL = 0.25
POLL_INTERVAL = 0.005
LARGEST_BURST = 1000
IDLE_RATE = 2
"""Events a second with ``demo --keep``."""

RECEIVE_TIMEOUT = 15.0
"""Seconds that a node waits for the events of the others."""


class Tally:
    """Count the events that one node receives and compare each with the one that was published."""

    def __init__(self, task: NodeTask, protocol: str) -> None:
        self.received = dict.fromkeys(task.peers, 0)
        self.missed: dict[int, dict[str, int]] = {}
        self.unattributed = 0
        self.wrong = 0
        self._changed = asyncio.Event()
        self._mixes = {peer: EventMix(task.seed, peer, protocol) for peer in task.peers}

    async def listen(self, node: Node, subscribed: asyncio.Event) -> None:
        """Count batches and notices until the task is cancelled."""
        async with node.subscribe() as events:
            subscribed.set()
            async for arrived in events.batches():
                self.add(arrived)

    def add(self, arrived: Batch | Notice) -> None:
        """Count a batch or a notice."""
        if isinstance(arrived, Missed):
            self._add_missed(arrived)
        elif not isinstance(arrived, Notice):
            self._add_batch(arrived)
        self._changed.set()

    async def wait_for(self, published: dict[int, int]) -> None:
        """Wait until each event of each other node has been received or reported missing."""
        while any(self._accounted_for(peer) < published[peer] for peer in self.received):
            self._changed.clear()
            await self._changed.wait()

    def _accounted_for(self, peer: int) -> int:
        return self.received[peer] + sum(self.missed.get(peer, {}).values())

    def _add_batch(self, batch: Batch) -> None:
        mix = self._mixes.get(batch.node_id)
        if mix is None:
            return  # a node that is not part of the demo
        self.received[batch.node_id] += len(batch)
        self.wrong += sum(event != mix.next() for event in batch)

    def _add_missed(self, missed: Missed) -> None:
        if missed.node_id is None or missed.events is None:
            self.unattributed += 1
            return
        if missed.node_id not in self._mixes:
            return
        causes = self.missed.setdefault(missed.node_id, {})
        causes[missed.cause] = causes.get(missed.cause, 0) + missed.events
        self._mixes[missed.node_id].take(missed.events)


class Parent:
    """Send reports to the demo by standard output, and read its orders from standard input."""

    def __init__(self) -> None:
        self._orders: asyncio.Queue[Order] = asyncio.Queue()

    async def listen(self) -> None:
        """Read orders until the end of file, at which the node leaves."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        with contextlib.closing(transport):
            while line := await reader.readline():
                self._orders.put_nowait(msgspec.json.decode(line, type=Order))

    async def order(self) -> Order:
        """Wait for the next order."""
        return await self._orders.get()

    def report(self, report: NodeReport) -> None:
        """Send one report."""
        print(msgspec.json.encode(report).decode(), flush=True)


class DemoNode:
    """A node that carries out the orders of the demo."""

    def __init__(self, task: NodeTask, parent: Parent) -> None:
        self._task = task
        self._parent = parent
        self._sent = 0
        self._phase: Phase = "started"

    async def take_part(self) -> None:
        """Connect, wait for the other nodes, carry out the orders, and report the counters."""
        config = fastcoord.load_config(self._task.config)
        self._tally = Tally(self._task, config.cluster.protocol)
        self._mix = EventMix(self._task.seed, self._task.node_id, config.cluster.protocol)
        async with fastcoord.connect(config, node_id=self._task.node_id) as node:
            self._node = node
            subscribed = asyncio.Event()
            helpers = {
                asyncio.create_task(self._tally.listen(node, subscribed)),
                asyncio.create_task(self._report_often()),
            }
            work = asyncio.create_task(self._follow_orders(subscribed))
            try:
                await _first_to_end(work, *helpers)
            finally:
                await _cancel(work, *helpers)

    async def _follow_orders(self, subscribed: asyncio.Event) -> None:
        await subscribed.wait()
        self._enter("connected")
        await _wait_until(self._knows_all_peers)
        self._enter("ready")
        while True:
            order = await self._parent.order()
            if order.action == "publish":
                self._enter("publishing")
                await self._publish(self._task.rate, self._task.seconds)
                await self._node.flush()
                self._enter("published")
            elif order.action == "finish":
                await self._wait_for_the_others(order.published)
                self._enter("done")
            else:
                await self._publish(IDLE_RATE, float("inf"))

    async def _wait_for_the_others(self, published: dict[int, int]) -> None:
        receiving = asyncio.create_task(self._tally.wait_for(published))
        try:
            # After the timeout the sums show what is missing.
            await asyncio.wait({receiving}, timeout=RECEIVE_TIMEOUT)
        finally:
            await _cancel(receiving)

    def _knows_all_peers(self) -> bool:
        return {peer.node_id for peer in self._node.peers()} >= set(self._task.peers)

    async def _publish(self, rate: int, seconds: float) -> None:
        started, before = time.monotonic(), self._sent
        while True:
            elapsed = min(time.monotonic() - started, seconds)
            due = min(before + int(elapsed * rate) - self._sent, LARGEST_BURST)
            await self._node.publish(*self._mix.take(due))
            self._sent += due
            if elapsed == seconds:
                return
            await asyncio.sleep(POLL_INTERVAL)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._parent.report(self._report())

    async def _report_often(self) -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL)
            self._parent.report(self._report())

    def _report(self) -> NodeReport:
        return NodeReport(
            phase=self._phase,
            server=self._node.stats().server or "",
            sent=self._sent,
            received=self._tally.received,
            missed=self._tally.missed,
            unattributed=self._tally.unattributed,
            wrong=self._tally.wrong,
            totals=self._totals() if self._phase == "done" else None,
        )

    def _totals(self) -> Totals:
        stats = self._node.stats()
        (subscription,) = stats.subscriptions
        return Totals(
            accepted=stats.accepted,
            confirmed=stats.confirmed,
            waiting=stats.waiting,
            discarded=stats.discarded,
            arrived=subscription.arrived,
            delivered=subscription.delivered,
            buffered=subscription.buffered,
            filtered=subscription.filtered,
            missed=subscription.missed,
        )


async def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a node does not announce which peers it knows
        await asyncio.sleep(POLL_INTERVAL)


async def _first_to_end(*tasks: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _run(task: NodeTask) -> None:
    parent = Parent()
    orders = asyncio.create_task(parent.listen())
    work = asyncio.create_task(DemoNode(task, parent).take_part())
    try:
        await _first_to_end(orders, work)
    finally:
        await _cancel(orders, work)


def main() -> int:
    """Run one node until the demo closes standard input.

    :return: the exit status.
    """
    task = msgspec.json.decode(sys.argv[1], type=NodeTask)
    try:
        asyncio.run(_run(task))
    except FastcoordError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1  # the demo has died
    return 0


if __name__ == "__main__":
    sys.exit(main())
