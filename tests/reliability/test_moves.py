"""Senders that move to another server, while what they sent through the first one is late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect
from support.cluster.crowd import HEARTBEAT, Crowd, crowd
from support.cluster.ledger import Record, numbered_event
from support.cluster.nodes import joined
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.oracles.sequence_header import read_header
from support.servers.routed_pair import routed_pair
from support.wait import POLL_INTERVAL, until

CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "200ms"}
TIMEOUT = {"connection": "1s"}


def is_at(server: LocalServer, nodes: Crowd, count: int) -> bool:
    """Whether the first nodes are connected to a server."""
    place = f"{server.host}:{server.port}"
    return all(node.stats().server == place for node in nodes.nodes[:count])


def count_events(proxy: Proxy) -> Callable[[], int]:
    """Count the events that pass a proxy to its server from now on; return the counter."""
    count = 0

    def counted(frame: Frame) -> Frame:
        nonlocal count
        numbers = read_header(frame.header)
        count += numbers[2] if isinstance(numbers, tuple) else 0
        return frame

    proxy.to_server.filter = counted
    return lambda: count


def assert_no_duplicate_ids(nodes: Crowd) -> None:
    assert [node.stats().duplicate_node_ids for node in nodes.nodes] == [()] * len(nodes.nodes)


async def test_reported_events_are_not_delivered_late() -> None:
    async with (
        routed_pair() as pair,
        Proxy(pair.near.host, pair.near.port) as near,
        Proxy(pair.far.host, pair.far.port) as far,
    ):
        far.refuse()
        async with crowd([[near, far], pair.far], 2) as nodes:
            sender, receiver = nodes.nodes
            await nodes.ledger.publish(sender)
            await nodes.even()
            pair.route.stall()
            await nodes.ledger.publish(sender, 8)
            await sender.flush()
            confirmed_at = time.monotonic()
            connection = sender._session.sender.connection
            assert connection is not None
            # What was confirmed within the last heartbeat would be sent again.
            await until(lambda: connection.last_activity - confirmed_at > 2 * HEARTBEAT)
            await far.accept()
            near.refuse()
            near.cut()
            await until(lambda: sender.stats().reconnects == 1)
            await nodes.ledger.publish(sender, 3)
            await nodes.even()
            assert nodes.ledger.missed()[2, 1] == {"gap": 8}
            pair.route.recover()
            await until(lambda: receiver.stats().late == 8)
            await nodes.ledger.publish(sender, 3)
            await nodes.even()
            assert nodes.ledger.missed()[2, 1] == {"gap": 8}


@pytest.mark.parametrize("heartbeat", ["200ms", "2s"])
async def test_lame_duck_with_slow_route_keeps_order(heartbeat: str) -> None:
    async with (
        routed_pair() as pair,
        Proxy(pair.far.host, pair.far.port) as gate,
    ):
        gate.refuse()
        at = [[pair.near, gate], [pair.near, gate], pair.far]
        async with crowd(at, 3, cluster={"heartbeat": heartbeat}) as nodes:
            assert is_at(pair.near, nodes, 2)
            pair.route.delay = 0.1
            async with nodes.load():
                await nodes.progress(100)
                pair.route.delay = 0.25
                await gate.accept()
                pair.near.lame_duck()
                await until(lambda: all(node.stats().reconnects for node in nodes.nodes[:2]))
                await nodes.progress(100)
            await nodes.even()
            assert_no_duplicate_ids(nodes)
            pair.near.kill()  # it would end only after its lame-duck duration


async def test_thawed_server_of_moved_sender_keeps_order() -> None:
    async with (
        routed_pair() as pair,
        Proxy(pair.near.host, pair.near.port) as near,
        Proxy(pair.far.host, pair.far.port) as gate,
    ):
        gate.refuse()
        at = [[near, gate], pair.far]
        async with crowd(at, 2, timeout=TIMEOUT) as nodes:
            sender, receiver = nodes.nodes
            await nodes.ledger.publish(sender, 5)
            await nodes.even()
            await gate.accept()
            pair.near.freeze()
            sent_to_frozen = count_events(near)
            # The frozen server has these events, and they are sent again through the other one.
            # On a busy machine, the sender may have moved before it has published all of them.
            for _ in range(20):
                await nodes.ledger.publish(sender, 5)
                # The next five events are another batch.
                await asyncio.sleep(POLL_INTERVAL)
            await until(lambda: sender.stats().reconnects == 1)
            await nodes.ledger.publish(sender, 100)
            await nodes.even()
            assert (2, 1) not in nodes.ledger.missed()
            assert sent_to_frozen() > 0
            pair.near.thaw()
            await until(lambda: receiver.stats().late == sent_to_frozen())
            await nodes.ledger.publish(sender, 100)
            await nodes.even()
            assert (2, 1) not in nodes.ledger.missed()
            await asyncio.gather(sender.ping(2), receiver.ping(1))
            assert_no_duplicate_ids(nodes)


async def test_thawed_server_of_former_run_is_no_duplicate() -> None:
    async with (
        routed_pair() as pair,
        Proxy(pair.near.host, pair.near.port) as near,
        accounted(pair.far, 1, cluster=CLUSTER) as receiver,
    ):
        events = receiver.subscribe()
        async with joined(near, 2, cluster=CLUSTER) as former:
            await until(receiver.peers)
            await former.publish(numbered_event(2, 0))
            await until(lambda: receiver.stats().received == 1)
            await former.flush()
            pair.near.freeze()
            sent_to_frozen = count_events(near)
            for number in range(1, 101, 5):
                await former.publish(
                    *(numbered_event(2, each) for each in range(number, number + 5))
                )
                await asyncio.sleep(POLL_INTERVAL)
            await until(lambda: not former.is_connected)
            assert await former.close(timeout=0.1) == 100
        async with accounted(pair.far, 2, cluster=CLUSTER) as again:
            await again.publish(*(numbered_event(2, number, run=1) for number in range(10)))
            await until(lambda: receiver.stats().received == 11)
            assert sent_to_frozen() > 0
            pair.near.thaw()
            await until(lambda: receiver.stats().late == sent_to_frozen())
            await again.publish(numbered_event(2, 10, run=1))
            record = Record()
            while record.place(2) != 11 or (2, 1) not in record.senders:
                record.take(*await collect(events, 1))
            # The former run said no goodbye, so that it may have sent more.
            assert record.unknown[2] >= 1
            assert [run.faults for run in record.senders.values()] == [[], []]
            assert [run.got for run in record.senders.values()] == [1, 11]
            await receiver.ping(2)
            assert receiver.stats().duplicate_node_ids == ()
            assert again.stats().duplicate_node_ids == ()
