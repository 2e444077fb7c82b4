"""A slow subscription reports exact counts, once and in order, and does not affect others."""

import asyncio
import logging
from typing import Any

import pytest

from fastcoord import (
    EmailPush,
    Event,
    Missed,
    Node,
    ReloadBlockedIps,
    ReloadPushServers,
    StateChange,
    encode_batch,
)
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, assert_accounts, collect, drain
from support.wait import until

Cluster = dict[str, Any]
FEW: dict[str, Any] = {"subscription": 4}
"""Capacity for four messages."""


async def send(sender: Node, messages: int, *, events: int = 3, start: int = 0) -> list[Event]:
    """Publish messages of some events each, with numbers from ``start`` on."""
    sent: list[Event] = []
    for _ in range(messages):
        batch = [EmailPush(sender.node_id, start + len(sent) + more, 0) for more in range(events)]
        await sender.publish(*batch)
        await sender.flush()
        sent += batch
    return sent


async def arrived(receiver: Node, count: int) -> None:
    await until(lambda: receiver.stats().received == count, because=f"{count} events have arrived")


# ---------------------------------------------------------------------------------- drop-oldest


async def test_drop_oldest_reports_first(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity=FEW) as receiver,
        receiver.subscribe() as events,
    ):
        sent = await send(sender, 10)
        await arrived(receiver, 30)
        stats = events.stats()
        assert (stats.arrived, stats.missed, stats.buffered) == (30, 18, 12)
        assert (stats.buffered_messages, stats.high_water_messages) == (4, 4)
        assert await collect(events, 13) == [Missed(1, 18, "overflow"), *sent[18:]]
        assert drain(events) == []
        assert events.stats().delivered == 12


async def test_drop_oldest_reports_each_episode(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity=FEW) as receiver,
        receiver.subscribe() as events,
    ):
        first = await send(sender, 6)
        await arrived(receiver, 18)
        assert await collect(events, 2) == [Missed(1, 6, "overflow"), first[6]]
        # The message that is being read is not dropped; the two after it are, for these.
        second = await send(sender, 3, start=18)
        await arrived(receiver, 27)
        assert drain(events) == [
            *first[7:9],
            Missed(1, 6, "overflow"),
            *first[15:],
            *second,
        ]
        assert events.stats().missed == 12


async def test_overflow_is_reported_per_sender(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as one,
        accounted(shared_server, 3, cluster=cluster) as three,
        accounted(shared_server, 2, cluster=cluster, capacity=FEW) as receiver,
        receiver.subscribe() as events,
    ):
        await send(one, 3, events=5)
        await arrived(receiver, 15)
        await send(three, 3, events=7)
        await arrived(receiver, 36)
        kept = await send(one, 2, events=2, start=15)
        await arrived(receiver, 40)
        notices = await collect(events, 2)
        assert set(notices) == {Missed(1, 15, "overflow"), Missed(3, 7, "overflow")}
        rest = drain(events)
        assert len(rest) == 2 * 7 + 4
        assert rest[-4:] == kept


# ---------------------------------------------------------------------------------- drop-newest


async def test_drop_newest_keeps_oldest(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity=FEW) as receiver,
        receiver.subscribe(overflow="drop-newest") as events,
    ):
        sent = await send(sender, 10)
        await arrived(receiver, 30)
        assert await collect(events, 4) == sent[:4]
        # A message was read, so another fits: the overflow is over.
        newer = await send(sender, 1, start=30)
        await arrived(receiver, 33)
        assert drain(events) == [*sent[4:12], Missed(1, 18, "overflow"), *newer]
        stats = events.stats()
        assert (stats.arrived, stats.missed, stats.delivered) == (33, 18, 15)


async def test_drop_newest_reports_at_end(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity=FEW) as receiver,
        receiver.subscribe(overflow="drop-newest") as events,
    ):
        sent = await send(sender, 5)
        await arrived(receiver, 15)
        assert await collect(events, 13) == [*sent[:12], Missed(1, 3, "overflow")]


# ------------------------------------------------------------------------------------- in bytes


@pytest.mark.parametrize("overflow", ["drop-oldest", "drop-newest"])
async def test_byte_bound_is_exact(
    shared_server: LocalServer, cluster: Cluster, overflow: Any
) -> None:
    size = len(encode_batch([EmailPush(1, 1, 0)] * 3, node_id=1, protocol="fastcoord-1"))
    capacity = {"subscription_bytes": 5 * size + size // 2}
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity=capacity) as receiver,
        receiver.subscribe(overflow=overflow) as events,
    ):
        sent = await send(sender, 20)
        await arrived(receiver, 60)
        stats = events.stats()
        assert (stats.buffered_messages, stats.buffered_bytes) == (5, 5 * size)
        missed = Missed(1, 45, "overflow")
        expected = [missed, *sent[45:]] if overflow == "drop-oldest" else [*sent[:15], missed]
        assert await collect(events, 16) == expected


async def test_oversized_message_is_missed(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(
            shared_server, 2, cluster=cluster, capacity={"subscription_bytes": 64}
        ) as receiver,
        receiver.subscribe() as events,
    ):
        before = await send(sender, 1)
        await send(sender, 1, events=100, start=3)
        after = await send(sender, 1, start=103)
        await arrived(receiver, 106)
        received = drain(events)
        assert [each for each in received if isinstance(each, Missed)] == [
            Missed(1, 100, "overflow")
        ]
        assert [each for each in received if not isinstance(each, Missed)] == before + after
        assert received.index(Missed(1, 100, "overflow")) <= 3


# --------------------------------------------------------------------------------------- others


async def test_stalled_subscription_delays_nobody(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity=FEW) as receiver,
        receiver.subscribe() as stalled,
        receiver.subscribe() as quick,
        receiver.subscribe(kinds=[ReloadBlockedIps], overflow="drop-newest") as filtered,
    ):
        sent: list[Event] = []
        for start in range(0, 300, 30):
            sent += await send(sender, 1, events=30, start=start)
            assert await collect(quick, 30) == sent[-30:]
        assert drain(quick) == []
        assert [each.missed for each in receiver.stats().subscriptions] == [180, 0, 180]
        assert (await collect(stalled, 1)) == [Missed(1, 180, "overflow")]
        # Dropped events were not decoded, so they count as missed and not as filtered.
        assert await collect(filtered, 1) == [Missed(1, 180, "overflow")]
        assert filtered.stats().filtered == 120


async def test_million_drops_log_twice(
    shared_server: LocalServer, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="fastcoord")
    lively = {**cluster, "heartbeat": "100ms"}
    async with (
        accounted(shared_server, 1, cluster=lively) as sender,
        accounted(shared_server, 2, cluster=lively, capacity=FEW) as receiver,
        receiver.subscribe() as oldest,
        receiver.subscribe(overflow="drop-newest") as newest,
    ):
        caplog.clear()
        chunk: list[Event] = [StateChange(each, each, 1) for each in range(10_000)]
        for _ in range(105):
            await sender.publish_many(chunk)
        await sender.flush()
        await arrived(receiver, 1_050_000)
        for each in receiver.stats().subscriptions:
            assert each.missed > 1_000_000
            assert each.high_water_messages == 4
            assert each.buffered_bytes <= 4 * 16 * 1024
        # Several ticks, each of which may log.
        ticks = asyncio.get_running_loop().time() + 0.2
        await until(lambda: asyncio.get_running_loop().time() > ticks)
        lines = [record.getMessage() for record in caplog.records]
        assert 1 <= len(lines) <= 2, lines
        assert all("overflow" in line and "events missed" in line for line in lines)
        assert receiver.is_connected
        assert (sender.stats().reconnects, receiver.stats().reconnects) == (0, 0)
        dropped = oldest.stats().missed
        assert drain(oldest)[0] == Missed(1, dropped, "overflow")
        assert drain(newest)[-1] == Missed(1, newest.stats().missed, "overflow")
        assert_accounts(receiver)
        await sender.publish(ReloadPushServers(1))
        assert await collect(oldest, 1) == await collect(newest, 1) == [ReloadPushServers(1)]


async def test_dropped_subscriptions_are_not_filled(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
    ):
        subscriptions = [receiver.subscribe() for _ in range(200)]
        assert len(receiver.stats().subscriptions) == 200
        with pytest.warns(ResourceWarning, match="dropped without close"):
            subscriptions.clear()
        assert receiver.stats().subscriptions == ()
        async with receiver.subscribe() as events:
            await sender.publish(ReloadBlockedIps())
            assert await anext(events) == ReloadBlockedIps()
