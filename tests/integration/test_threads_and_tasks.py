"""Cancellation, timeouts and shared subscriptions: events are neither lost nor repeated."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from fastcoord import (
    AppEvent,
    EmailPush,
    Event,
    Missed,
    Node,
    ReloadBlockedIps,
    Subscription,
    SubscriptionError,
)
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect, drain
from support.wait import until

Cluster = dict[str, Any]
NARROW: dict[str, Any] = {"client": 2, "batch_bytes": 256}


def full(number: int) -> Event:
    """Return an event that fills a batch of ``NARROW``."""
    return AppEvent(number, b"x" * 200)


async def cancelled(task: "asyncio.Task[Any] | asyncio.Future[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def iterations(count: int = 3) -> None:
    """Let the event loop run some iterations."""
    for _ in range(count):
        await asyncio.sleep(0)


async def waiting_to_publish(node: Node, count: int) -> list["asyncio.Task[None]"]:
    """Start tasks that wait for capacity, each with one event, on a disconnected node."""
    tasks = []
    for number in range(3 + count):
        tasks.append(asyncio.ensure_future(node.publish(full(number))))
        await iterations()
    assert [task.done() for task in tasks] == [True] * 3 + [False] * count
    return tasks[3:]


# ---------------------------------------------------------------------------------- cancellation


async def test_cancelled_publish_sends_nothing(server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(server, 1, cluster=cluster, capacity=NARROW) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        # After a disconnect a sender waits for the peers that it received before.
        await until(lambda: bool(sender.peers()))
        server.kill()
        await until(lambda: not sender.is_connected)
        waiting = await waiting_to_publish(sender, 5)
        for index in (0, 2, 4):
            await cancelled(waiting[index])
        assert sender.stats().accepted == 3
        server.restart()
        await asyncio.gather(waiting[1], waiting[3])
        await sender.flush()
        assert sender.stats().accepted == 5
        expected = [full(number) for number in (0, 1, 2, 4, 6)]
        assert await collect(events, 6) == [Missed(None, None, "disconnect"), *expected]
        assert drain(events) == []


async def test_cancelled_publish_keeps_prefix(server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(server, 1, cluster=cluster, capacity=NARROW) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        # After a disconnect a sender waits for the peers that it received before.
        await until(lambda: bool(sender.peers()))
        server.kill()
        await until(lambda: not sender.is_connected)
        publishing = asyncio.ensure_future(sender.publish(*map(full, range(50))))
        await iterations()
        await cancelled(publishing)
        accepted = sender.stats().accepted
        assert 0 < accepted < 50
        server.restart()
        await sender.publish(full(99))
        await sender.flush()
        absence, *received = await collect(events, accepted + 2)
        assert absence == Missed(None, None, "disconnect")
        assert received == [*map(full, range(accepted)), full(99)]


async def test_random_cancellation_loses_nothing(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster, capacity=NARROW) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        finished, interrupted = set(), set()
        for number in range(0, 800, 20):
            tasks = {
                one: asyncio.ensure_future(sender.publish(full(one)))
                for one in range(number, number + 20)
            }
            await iterations(number // 20 % 5)
            for one, task in tasks.items():
                if one % 3 == 0:
                    task.cancel()
            await asyncio.wait(tasks.values())
            interrupted |= {one for one, task in tasks.items() if task.cancelled()}
            finished |= {one for one, task in tasks.items() if not task.cancelled()}
        await sender.flush()
        await until(lambda: receiver.stats().received == sender.stats().accepted)
        received = [event.kind for event in drain(events)]
        assert received == sorted(set(received))
        assert finished <= set(received)
        # A cancelled call may have sent what was accepted before; nothing else was sent.
        assert set(received) <= finished | interrupted
        assert interrupted


async def test_cancelled_flush_leaves_others(server: LocalServer, cluster: Cluster) -> None:
    async with accounted(server, 1, cluster=cluster) as sender:
        server.freeze()
        await sender.publish(ReloadBlockedIps())
        flushes = [asyncio.ensure_future(sender.flush()) for _ in range(4)]
        await iterations()
        await cancelled(flushes[0])
        await cancelled(flushes[2])
        server.thaw()
        await asyncio.gather(flushes[1], flushes[3])
        assert sender.stats().confirmed == 1


# ------------------------------------------------------------------------------------- consumers


async def numbers_of(events: Subscription, into: list[int]) -> None:
    async for event in events:
        assert isinstance(event, EmailPush)
        into.append(event.email_id)


async def test_cancelled_iteration_keeps_events(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        received: list[int] = []
        number = 0
        while number < 20_000:
            reading = asyncio.create_task(numbers_of(events, received))
            size = 1 + number % 211
            await sender.publish(*(EmailPush(1, number + more, 0) for more in range(size)))
            number += size
            await iterations(number % 7)
            await cancelled(reading)
        reading = asyncio.create_task(numbers_of(events, received))
        await until(lambda: len(received) == number)
        await cancelled(reading)
        assert received == list(range(number))


async def test_cancelled_anext_keeps_event(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        iterator = aiter(events)
        received: list[int] = []
        timeouts = 0

        for number in range(300):
            sender.publish_nowait(EmailPush(1, number, 0))
            while len(received) <= number:
                # From zero to long enough, so that some timeouts end as the event arrives.
                patience = (number + timeouts) % 40 * 0.0001
                try:
                    event = await asyncio.wait_for(anext(iterator), patience)
                except asyncio.TimeoutError:
                    timeouts += 1
                else:
                    assert isinstance(event, EmailPush)
                    received.append(event.email_id)
        assert received == list(range(300))
        assert timeouts


async def test_second_task_is_refused(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        received: list[int] = []
        reader = asyncio.create_task(numbers_of(events, received))
        await asyncio.sleep(0)
        with pytest.raises(SubscriptionError, match="two tasks"):
            await numbers_of(events, [])
        await sender.publish(EmailPush(1, 7, 0))
        await until(lambda: received == [7])
        events.close()
        await reader


async def test_publish_returns_coroutine(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        await asyncio.gather(*(sender.publish(EmailPush(1, each, 0)) for each in range(100)))
        publishing: Coroutine[Any, Any, None] = sender.publish(EmailPush(1, 100, 0))
        await asyncio.create_task(publishing)
        await asyncio.wait_for(sender.publish_many([EmailPush(1, 101, 0)]), 60)
        first = asyncio.ensure_future(anext(aiter(events)))
        assert await first == EmailPush(1, 0, 0)
        rest = await asyncio.create_task(collect(events, 101))
        assert rest == [EmailPush(1, each, 0) for each in range(1, 102)]


# -------------------------------------------------------------------------------------- fairness


async def test_publishing_task_yields(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster),
    ):
        others = 0

        async def run() -> None:
            nonlocal others
            while True:
                await asyncio.sleep(0)
                others += 1

        other = asyncio.create_task(run())
        for number in range(300_000):
            await sender.publish(EmailPush(1, number, 0))
        await cancelled(other)
        # Other tasks run at least once for every few full batches.
        assert others > 300_000 * 8 // (16 * 1024) // 8
        await sender.ping(2)


async def test_receiving_task_yields(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        await sender.publish_many([EmailPush(1, each, 0) for each in range(200_000)])
        await until(lambda: receiver.stats().received == 200_000)
        others = 0

        async def run() -> None:
            nonlocal others
            while True:
                await asyncio.sleep(0)
                others += 1

        other = asyncio.create_task(run())
        async for event in events:
            assert isinstance(event, EmailPush)
            if event.email_id == 199_999:
                break
        await cancelled(other)
        assert others >= 200_000 // 8192
