"""Cancelled, timed out, shared by tasks: nothing is lost, nothing comes twice, nobody starves."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from fastcoord import AppEvent, EmailPush, Event, Node, ReloadBlockedIps, Subscription
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, assert_accounts, collect, drain
from support.faults.freezing import freeze
from support.wait import until

Cluster = dict[str, Any]
NARROW: dict[str, Any] = {"client": 2, "batch_bytes": 256}


def full(number: int) -> Event:
    """Make an event that fills a batch of ``NARROW``."""
    return AppEvent(number, b"x" * 200)


async def cancelled(task: "asyncio.Task[Any] | asyncio.Future[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def turns(count: int = 3) -> None:
    """Let the loop come round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def waiting_to_publish(node: Node, count: int) -> list["asyncio.Task[None]"]:
    """Have tasks wait for room, each with one event, on a node whose server is away."""
    tasks = []
    for number in range(3 + count):
        tasks.append(asyncio.ensure_future(node.publish(full(number))))
        await turns()
    assert [task.done() for task in tasks] == [True] * 3 + [False] * count
    return tasks[3:]


# ---------------------------------------------------------------------------------- cancellation


async def test_cancelled_publish_sends_nothing(server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(server, 1, cluster=cluster, capacity=NARROW) as sender,
        accounted(server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
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
        assert await collect(events, 5) == [full(number) for number in (0, 1, 2, 4, 6)]
        assert drain(events) == []


async def test_cancelled_publish_keeps_prefix(server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(server, 1, cluster=cluster, capacity=NARROW) as sender,
        accounted(server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
        # A sender waits after an outage for the peers that it knew.
        await until(lambda: bool(sender.peers()))
        server.kill()
        await until(lambda: not sender.is_connected)
        publishing = asyncio.ensure_future(sender.publish(*map(full, range(50))))
        await turns()
        await cancelled(publishing)
        accepted = sender.stats().accepted
        assert 0 < accepted < 50
        server.restart()
        await sender.publish(full(99))
        await sender.flush()
        heard = await collect(events, accepted + 1)
        assert heard == [*map(full, range(accepted)), full(99)]


async def test_random_cancellation_loses_nothing(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster, capacity=NARROW) as sender,
        accounted(shared_server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
        finished, given_up = set(), set()
        for number in range(0, 800, 20):
            tasks = {
                one: asyncio.ensure_future(sender.publish(full(one)))
                for one in range(number, number + 20)
            }
            await turns(number // 20 % 5)
            for one, task in tasks.items():
                if one % 3 == 0:
                    task.cancel()
            await asyncio.wait(tasks.values())
            given_up |= {one for one, task in tasks.items() if task.cancelled()}
            finished |= {one for one, task in tasks.items() if not task.cancelled()}
        await sender.flush()
        await until(lambda: hearer.stats().received == sender.stats().accepted)
        heard = [event.kind for event in drain(events)]
        assert heard == sorted(set(heard))
        assert finished <= set(heard)
        # What a task had accepted before it was cancelled may have been sent; nothing else.
        assert set(heard) <= finished | given_up
        assert given_up


async def test_cancelled_flush_leaves_others(server: LocalServer, cluster: Cluster) -> None:
    async with accounted(server, 1, cluster=cluster) as sender:
        await freeze(server)
        await sender.publish(ReloadBlockedIps())
        flushes = [asyncio.ensure_future(sender.flush()) for _ in range(4)]
        await turns()
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
        accounted(shared_server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
        heard: list[int] = []
        number = 0
        while number < 20_000:
            reading = asyncio.create_task(numbers_of(events, heard))
            size = 1 + number % 211
            await sender.publish(*(EmailPush(1, number + more, 0) for more in range(size)))
            number += size
            await turns(number % 7)
            await cancelled(reading)
        reading = asyncio.create_task(numbers_of(events, heard))
        await until(lambda: len(heard) == number)
        await cancelled(reading)
        assert heard == list(range(number))


async def test_cancelled_anext_keeps_event(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
        iterator = aiter(events)
        heard: list[int] = []
        timeouts = 0

        for number in range(300):
            sender.publish_nowait(EmailPush(1, number, 0))
            while len(heard) <= number:
                # From at once to long enough: now and then as the very event arrives.
                patience = (number + timeouts) % 40 * 0.0001
                try:
                    event = await asyncio.wait_for(anext(iterator), patience)
                except asyncio.TimeoutError:
                    timeouts += 1
                else:
                    assert isinstance(event, EmailPush)
                    heard.append(event.email_id)
        assert heard == list(range(300))
        assert timeouts


async def test_tasks_share_one_subscription(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
        heard: list[list[int]] = [[] for _ in range(5)]
        readers = [asyncio.create_task(numbers_of(events, into)) for into in heard]
        for number in range(0, 10_000, 100):
            await sender.publish(*(EmailPush(1, number + more, 0) for more in range(100)))
            await sender.flush()
        await until(lambda: sum(map(len, heard)) == 10_000)
        for each in heard:
            assert each == sorted(each)
        assert sorted(number for each in heard for number in each) == list(range(10_000))
        assert_accounts(hearer)
        # All of them wait now, and all of them end with the subscription.
        events.close()
        await asyncio.gather(*readers)


async def test_publish_returns_coroutine(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
        await asyncio.gather(*(sender.publish(EmailPush(1, each, 0)) for each in range(100)))
        publishing: Coroutine[Any, Any, None] = sender.publish(EmailPush(1, 100, 0))
        await asyncio.create_task(publishing)
        await asyncio.wait_for(sender.publish_many([EmailPush(1, 101, 0)]), 1)
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
        loop = asyncio.get_running_loop()
        others = 0
        longest = 0.0
        is_over = False

        async def look() -> None:
            nonlocal others, longest
            last = loop.time()
            while not is_over:
                await asyncio.sleep(0)
                now = loop.time()
                others, longest, last = others + 1, max(longest, now - last), now

        looking = asyncio.create_task(look())
        for number in range(300_000):
            await sender.publish(EmailPush(1, number, 0))
        is_over = True
        await looking
        # A turn at least for every few full batches, and no pause that anyone would feel.
        assert others > 300_000 * 8 // (16 * 1024) // 8
        assert longest < 0.25
        await sender.ping(2)


async def test_receiving_task_yields(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as hearer,
        hearer.subscribe() as events,
    ):
        await sender.publish_many([EmailPush(1, each, 0) for each in range(200_000)])
        await until(lambda: hearer.stats().received == 200_000)
        turns_of_others = 0

        async def take_turns() -> None:
            nonlocal turns_of_others
            while True:
                await asyncio.sleep(0)
                turns_of_others += 1

        other = asyncio.create_task(take_turns())
        async for event in events:
            assert isinstance(event, EmailPush)
            if event.email_id == 199_999:
                break
        await cancelled(other)
        assert turns_of_others >= 200_000 // 8192
