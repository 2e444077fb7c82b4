"""Losses that no later message of their sender shows are reported."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import fastcoord
from fastcoord import AppEvent, Missed, Node
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, drain
from support.cluster.crowd import crowd
from support.cluster.nodes import joined
from support.cluster.plain_peer import PlainPeer
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.servers.routed_pair import RoutedPair, routed_pair
from support.wait import until

SUBJECT = "losses.test"
CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "200ms", "subject": SUBJECT}
LONG: dict[str, Any] = {**CLUSTER, "heartbeat": "10s"}
"""With this, no node counts as silent during a test."""
ABSENCE = Missed(None, None, "disconnect")
END = AppEvent(9, b"the end")


async def publish_until_received(sender: Node, receiver: Node) -> None:
    """Publish events until the receiver gets one."""
    before = receiver.stats().received

    async def is_received() -> bool:
        await sender.publish(AppEvent(sender.node_id, b"received"))
        await sender.flush()
        return receiver.stats().received > before

    await until(is_received)


# -------------------------------------------------------------------------- this node is absent


async def cut_off(proxy: Proxy, node: Node) -> None:
    proxy.refuse()
    proxy.cut()
    await until(lambda: not node.is_connected)


async def reported_after(proxy: Proxy, node: Node, events: Any, witness: Node) -> list[Any]:
    """End the absence of a node; return what it gets before the next event of another node."""
    await proxy.accept()
    await until(lambda: node.is_connected)
    # The server has the subscriptions when it passes on a question behind them.
    await node.ping(witness.node_id)
    received = node.stats().received
    await witness.publish(END)
    await until(lambda: node.stats().received > received)
    items = drain(events)
    return items[: items.index(END)]


@pytest.mark.parametrize("sender", ["known", "unknown", "Stalwart"])
async def test_sender_within_absence_is_reported(server: LocalServer, sender: str) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        joined(server, 1, cluster=LONG) as witness,
        accounted(proxy, 2, cluster=LONG) as receiver,
        contextlib.AsyncExitStack() as stack,
    ):
        events = receiver.subscribe()
        if sender == "known":
            node = await stack.enter_async_context(joined(server, 3, cluster=LONG))
            await until(lambda: len(receiver.peers()) == 2)
        await cut_off(proxy, receiver)
        lost = [AppEvent(3, b"lost")] * 10
        if sender == "Stalwart":
            async with PlainPeer(server.url, SUBJECT) as stalwart:
                await stalwart.publish(
                    fastcoord.encode_batch(lost, node_id=3, protocol="fastcoord-1")
                )
        else:
            if sender == "unknown":
                node = await stack.enter_async_context(joined(server, 3, cluster=LONG))
            await node.publish(*lost)
            await node.flush()
            assert await node.close() == 0
        await until(lambda: witness.stats().received == 10)
        before_end = await reported_after(proxy, receiver, events, witness)
        assert before_end[0] == ABSENCE
        assert before_end.count(ABSENCE) == 1
        assert lost[0] not in before_end


async def test_stray_message_adds_no_report(server: LocalServer) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        PlainPeer(server.url, SUBJECT) as stray,
        joined(server, 1, cluster=LONG) as witness,
        accounted(proxy, 2, cluster=LONG) as receiver,
    ):
        events = receiver.subscribe()
        await stray.publish(fastcoord.encode_batch([END], node_id=7, protocol="fastcoord-1"))
        await until(lambda: receiver.stats().received == 1)
        assert drain(events) == [END]
        for _ in range(2):
            await cut_off(proxy, receiver)
            before_end = await reported_after(proxy, receiver, events, witness)
            assert before_end.count(ABSENCE) == 1
        assert receiver.stats().missed_unknown["disconnect"] == 2


@pytest.mark.parametrize("is_present", [True, False])
async def test_stray_message_ends_resends_for_a_while(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, is_present: bool
) -> None:
    """Confirmed batches are not sent again while a Stalwart node may be present."""
    if not is_present:
        monkeypatch.setattr("fastcoord._session.connection_events.SECONDS_PRESENT", 0.0)
    resent = 0

    def count(frame: Frame) -> Frame:
        nonlocal resent
        resent += frame.subject == SUBJECT and b"F:1dr" in frame.header
        return frame

    async with (
        Proxy(server.host, server.port) as proxy,
        PlainPeer(server.url, SUBJECT) as stray,
        crowd([proxy, server], 2, cluster=LONG) as nodes,
    ):
        proxy.to_server.filter = count
        sender, receiver = nodes.nodes
        payload = fastcoord.encode_batch([], node_id=7, protocol="fastcoord-1")
        await stray.publish(payload)
        await until(lambda: any(peer.node_id == 7 for peer in sender.peers()))
        await nodes.ledger.publish(sender, 10)
        await sender.flush()
        proxy.cut()
        await until(lambda: sender.stats().reconnects == 1)
        await nodes.ledger.publish(sender, 10)
        await nodes.even()
        assert (resent == 0) is is_present
        assert receiver.stats().duplicates == (0 if is_present else 10)


# ---------------------------------------------------------------------------- routes are parted


async def lose_ten(pair: RoutedPair, sender: Node, receiver: Node) -> None:
    """Part the servers, and have the sender publish 10 events that the server confirms."""
    await publish_until_received(sender, receiver)
    await pair.part()
    await sender.publish(*[AppEvent(2, b"lost")] * 10)
    await sender.flush()


async def test_restart_behind_parted_routes_is_reported() -> None:
    async with routed_pair() as pair, accounted(pair.far, 1, cluster=LONG) as receiver:
        events = receiver.subscribe()
        async with joined(pair.near, 2, cluster=LONG) as sender:
            await lose_ten(pair, sender, receiver)
        drain(events)
        async with joined(pair.near, 2, cluster=LONG) as again:
            await pair.route.heal()
            await publish_until_received(again, receiver)
            assert drain(events)[0] == Missed(2, None, "gap")
        assert receiver.stats().reconnects == 0


async def test_end_behind_parted_routes_is_reported() -> None:
    async with routed_pair() as pair, accounted(pair.far, 1, cluster=CLUSTER) as receiver:
        events = receiver.subscribe()
        async with joined(pair.near, 2, cluster=CLUSTER) as sender:
            await lose_ten(pair, sender, receiver)
        await until(lambda: Missed(2, None, "gap") in drain(events))
        assert receiver.stats().reconnects == 0


async def test_death_with_server_is_reported() -> None:
    async with routed_pair() as pair, accounted(pair.far, 1, cluster=CLUSTER) as receiver:
        events = receiver.subscribe()
        async with joined(pair.near, 2, cluster=CLUSTER, max_reconnects=0) as sender:
            await publish_until_received(sender, receiver)
            # As on a slow route, the events are on their way when the server dies.
            pair.route.stall()
            await sender.publish_many([AppEvent(2, b"lost")] * 1_000)
            await sender.flush()
            drain(events)
            pair.near.kill()
            pair.route.part()
            await until(lambda: not sender.is_connected)
        await until(lambda: Missed(2, None, "gap") in drain(events))
        assert receiver.stats().received < 1_000
        assert receiver.stats().reconnects == 0
