"""Every way to publish, from threads and with lists too: each event arrives exactly once."""

import asyncio
import threading
from collections import defaultdict
from typing import Any

import pytest

from fastcoord import AppEvent, EmailPush, Event, ReloadBlockedIps, ReloadPushServers
from fastcoord.nats.connection import Connection
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.wait import until

Cluster = dict[str, Any]


async def test_publish_nowait_is_thread_safe(shared_server: LocalServer, cluster: Cluster) -> None:
    threads, each = 16, 2_000
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        start = threading.Barrier(threads + 1)

        def publish(thread: int) -> None:
            start.wait()
            for number in range(each):
                sender.publish_nowait(EmailPush(thread, number, 0))

        workers = [threading.Thread(target=publish, args=(name,)) for name in range(threads)]
        for worker in workers:
            worker.start()
        start.wait()
        # The event loop publishes at the same time.
        for number in range(each):
            await sender.publish(EmailPush(threads, number, 0))
        received = await collect(events, (threads + 1) * each)
        for worker in workers:
            worker.join()
        assert in_order(received) == {name: list(range(each)) for name in range(threads + 1)}
        await sender.flush()
        assert sender.stats().confirmed == (threads + 1) * each


async def test_thread_wakes_idle_loop(shared_server: LocalServer, cluster: Cluster) -> None:
    quiet = {**cluster, "heartbeat": "1h"}
    async with (
        accounted(shared_server, 1, cluster=quiet) as sender,
        accounted(shared_server, 2, cluster=quiet) as receiver,
        receiver.subscribe() as events,
    ):
        worker = threading.Thread(target=sender.publish_nowait, args=(ReloadBlockedIps(),))
        worker.start()
        assert await collect(events, 1) == [ReloadBlockedIps()]
        worker.join()


async def test_publish_many_accepts_iterables(shared_server: LocalServer, cluster: Cluster) -> None:
    expected: list[Event] = [ReloadPushServers(each) for each in range(10_000)]
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        await sender.publish_many(expected)
        await sender.publish_many(tuple(expected))
        await sender.publish_many(iter(expected))  # type: ignore[arg-type]
        await sender.publish_many([])
        await sender.publish()
        assert await collect(events, 30_000) == expected * 3
        assert sender.stats().accepted == 30_000


async def test_publish_many_copies_list(server: LocalServer, cluster: Cluster) -> None:
    settings: dict[str, Any] = {"cluster": cluster, "capacity": {"client": 2, "batch_bytes": 512}}
    async with (
        accounted(server, 1, **settings) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        many: list[Event] = [ReloadPushServers(each) for each in range(10_000)]
        expected = list(many)
        publishing = sender.publish_many(many)
        many[:] = [ReloadBlockedIps()] * 5
        await publishing
        assert await collect(events, 10_000) == expected


async def test_calls_keep_event_order(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        await sender.publish(ReloadPushServers(0), ReloadBlockedIps(), ReloadPushServers(1))
        sender.publish_nowait(ReloadPushServers(2), ReloadPushServers(3))
        await sender.publish_many([ReloadPushServers(4), ReloadBlockedIps()])
        sender.publish_nowait(ReloadPushServers(5))
        assert await collect(events, 8) == [
            ReloadPushServers(0),
            ReloadBlockedIps(),
            *(ReloadPushServers(each) for each in range(1, 5)),
            ReloadBlockedIps(),
            ReloadPushServers(5),
        ]


async def test_waiting_calls_keep_order(shared_server: LocalServer, cluster: Cluster) -> None:
    """A call whose events do not fit at once is not overtaken by the next one."""
    capacity = {"client": 2, "batch_bytes": 64}
    async with (
        accounted(shared_server, 1, cluster=cluster, capacity=capacity) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        lists = [[ReloadPushServers(100 * part + each) for each in range(99)] for part in range(3)]
        calls = [sender.publish_many(each) for each in lists]
        await asyncio.gather(*calls)
        assert await collect(events, 3 * 99) == [*lists[0], *lists[1], *lists[2]]


async def test_failed_write_does_not_raise(
    shared_server: LocalServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events are accepted: a program that published them again would send them twice."""
    count = 60_000
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        await sender.flush(peers=True)

        def fail(self: Connection, *arguments: object, **options: object) -> int:
            monkeypatch.undo()
            raise MemoryError

        monkeypatch.setattr(Connection, "publish", fail)
        sender.publish_nowait(*[ReloadPushServers(each) for each in range(count)])
        assert sender.stats().accepted == count
        assert await collect(events, count) == [ReloadPushServers(each) for each in range(count)]


def in_order(events: list[Any]) -> dict[int, list[int]]:
    """Return the numbers of each thread's events, in the order received."""
    received = defaultdict(list)
    for event in events:
        assert isinstance(event, EmailPush), event
        received[event.account_id].append(event.email_id)
    return dict(received)


async def test_small_batches_confirm_early(server: LocalServer, cluster: Cluster) -> None:
    """Several PINGs are outstanding at once: a full window does not wait for one of them."""
    pings: list[int] = []
    batches: list[Frame] = []

    def note(frame: Frame) -> Frame:
        if frame.verb == "PING":
            pings.append(len(batches))
        elif frame.is_message and frame.payload.count(b"x"):
            batches.append(frame)
        return frame

    async with Proxy(server.host, server.port) as proxy:
        capacity = {"client": 64, "batch_bytes": 64}
        async with accounted(proxy, 1, cluster=cluster, capacity=capacity) as sender:
            await sender.flush()
            proxy.to_server.filter = note
            proxy.to_client.pause()
            for number in range(60):
                await sender.publish(AppEvent(number, b"x" * 40))
                await asyncio.sleep(0)
            await until(lambda: len(batches) == 60)
            assert len([position for position in pings if position <= 48]) >= 3, pings
            assert sender.stats().confirmed == 0
            proxy.to_client.resume()
            await sender.flush()
            assert sender.stats().confirmed == 60


async def test_wrong_publish_names_other(shared_server: LocalServer, cluster: Cluster) -> None:
    async with accounted(shared_server, 1, cluster=cluster) as node:
        with pytest.raises(TypeError, match="not one ReloadBlockedIps: use publish"):
            await node.publish_many(ReloadBlockedIps())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="publish_many takes lists"):
            await node.publish([ReloadBlockedIps()])  # type: ignore[arg-type]
        assert node.stats().accepted == 0
