"""What waits too long for a connection is discarded; what a connection has taken is not."""

import asyncio
import time
from typing import Any

import pytest

from fastcoord import AppEvent, EmailPush, Event, Missed, PeerDown, StateChange
from fastcoord._clock import set_clock
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, drain
from support.faults.proxy import Proxy
from support.wait import until

CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "300ms", "max_age": "1m"}
PATIENT: dict[str, Any] = {**CLUSTER, "heartbeat": "1m"}
"""With this, no node counts as silent during a test."""


class Clock:
    """The clock by which the nodes of this event loop measure the age of events."""

    def __init__(self) -> None:
        self._ahead = 0.0
        set_clock(asyncio.get_running_loop(), lambda: time.monotonic() + self._ahead)

    def quiet(self, seconds: float) -> None:
        """Let the time go on: a node is idle, so that its last flush is as old."""
        self._ahead += seconds


@pytest.fixture
async def clock() -> Clock:
    """The clock of nodes that connect afterwards."""
    return Clock()


async def test_burst_after_quiet_survives_outage(server: LocalServer, clock: Clock) -> None:
    async with (
        accounted(server, 1, cluster=CLUSTER) as sender,
        accounted(server, 2, cluster=CLUSTER) as receiver,
        receiver.subscribe() as events,
    ):
        clock.quiet(70.0)
        server.kill()
        await until(lambda: not sender.is_connected)
        sent: list[Event] = [StateChange(each, each, 1) for each in range(50_000)]
        await sender.publish_many(sent)
        await server.start_async()
        await sender.flush()
        assert sender.stats().discarded == 0
        await until(lambda: receiver.stats().received == 50_000)
        assert [each for each in drain(events) if isinstance(each, StateChange)] == sent


async def test_burst_after_quiet_survives_stalled_socket(server: LocalServer, clock: Clock) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        accounted(proxy, 1, cluster=CLUSTER) as sender,
    ):
        clock.quiet(70.0)
        proxy.to_server.pause()
        await sender.publish_many([EmailPush(each, each, 1) for each in range(500_000)])
        await until(lambda: sender.stats().waiting_batches > 100)
        clock.quiet(15.0)
        proxy.to_server.resume()
        await sender.flush()
        stats = sender.stats()
        assert (stats.discarded, stats.confirmed) == (0, 500_000)


async def test_killed_server_gets_confirmed_batches_again(
    server: LocalServer, clock: Clock
) -> None:
    # What was confirmed within a heartbeat before the loss is sent again.
    async with (
        Proxy(server.host, server.port) as proxy,
        accounted(server, 1, cluster=PATIENT) as sender,
        accounted(proxy, 2, cluster=PATIENT) as receiver,
    ):
        await until(lambda: sender.peers() and receiver.peers())
        clock.quiet(70.0)
        proxy.to_client.pause()
        await sender.publish_many([StateChange(each, each, 1) for each in range(30_000)])
        await sender.flush()
        assert sender.stats().confirmed == 30_000
        server.kill()
        proxy.cut()
        proxy.to_client.resume()
        await server.start_async()
        await until(lambda: receiver.stats().received == 30_000)


async def test_hold_ends_before_events_expire(server: LocalServer) -> None:
    # The absent peer counts as down only after three heartbeats, later than events expire.
    cluster = {**PATIENT, "max_age": "1500ms"}
    async with (
        Proxy(server.host, server.port) as proxy,
        accounted(server, 1, cluster=cluster) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        accounted(proxy, 3, cluster=cluster) as absent,
        receiver.subscribe(kinds=[AppEvent]) as events,
    ):
        await until(lambda: len(sender.peers()) == 2)
        proxy.refuse()
        sent = 0
        while receiver.stats().received < 10:
            server.kill()
            await until(lambda: not sender.is_connected)
            await sender.publish_many([AppEvent(each, b"") for each in range(10)])
            sent += 10
            await server.start_async()
            # On a busy machine, the events may expire before the node has reconnected.
            await until(lambda: receiver.stats().received + sender.stats().discarded == sent)  # noqa: B023
        received = [each for each in drain(events) if isinstance(each, AppEvent)]
        assert received == [AppEvent(each, b"") for each in range(10)]
        assert not absent.is_connected
        await absent.close(timeout=0)


async def test_close_ends_hold(server: LocalServer) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        accounted(server, 2, cluster=PATIENT) as receiver,
        accounted(proxy, 3, cluster=PATIENT) as absent,
        receiver.subscribe(peers=True) as events,
    ):
        async with accounted(server, 1, cluster=PATIENT) as sender:
            await until(lambda: len(sender.peers()) == 2)
            proxy.refuse()
            server.kill()
            await until(lambda: not sender.is_connected)
            await sender.publish_many([AppEvent(each, b"") for each in range(10)])
            await server.start_async()
            await until(lambda: sender.is_connected and receiver.is_connected)
            assert sender.stats().confirmed == 0
            assert await sender.close() == 0
        await until(lambda: receiver.stats().received == 10)
        await until(lambda: PeerDown(1, goodbye=True) in drain(events))
        await absent.close(timeout=0)


@pytest.mark.parametrize("stall", [False, True])
async def test_flood_discards_nothing_that_was_sent(server: LocalServer, stall: bool) -> None:
    cluster = {**CLUSTER, "max_age": "1s"}
    async with (
        Proxy(server.host, server.port) as proxy,
        accounted(proxy, 1, cluster=cluster, capacity={"client": 2}) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        await until(lambda: receiver.peers())
        if stall:
            proxy.to_server.pause()
        for number in range(200_000):
            sender.publish_nowait(EmailPush(1, number, 1))
            if number % 20_000 == 0:
                await asyncio.sleep(0)
        proxy.to_server.resume()
        await sender.flush()
        stats = sender.stats()
        assert stats.discarded > 0
        await until(lambda: receiver.stats().received == stats.confirmed)
        received = drain(events)
        reported = sum(each.events or 0 for each in received if isinstance(each, Missed))
        assert reported == stats.discarded == receiver.stats().missed["discarded"]
        assert stats.accepted == 200_000 == stats.confirmed + stats.discarded
