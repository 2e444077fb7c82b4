"""Rights that the server takes away and gives back while a node is connected."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastcoord import AppEvent, Missed, PermissionDenied
from fastcoord.server import LocalServer
from support.cluster.accounting import assert_accounts
from support.cluster.crowd import crowd
from support.cluster.nodes import joined
from support.loops import LOOPS, runner
from support.scale import repeats
from support.wait import POLL_INTERVAL, until

SUBJECT = "rights.test"
CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "200ms", "subject": SUBJECT}
LOGIN: dict[str, Any] = {"user": "node", "password": "secret"}


def users(**denied: bool) -> str:
    """Write the users of a server: ``node`` loses rights on the subject, ``other`` has all."""
    rights = {direction: {"deny": [SUBJECT]} for direction, denies in denied.items() if denies}
    node = {**LOGIN, "permissions": {"publish": ">", "subscribe": ">", **rights}}
    other = {"user": "other", "password": "secret"}
    return f"authorization {{ users: {json.dumps([node, other])} }}"


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer(extra_config=users()) as running:
        yield running


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fastcoord"]


async def test_lost_publish_right_confirms_nothing(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        joined(server, 2, cluster=CLUSTER, user="other", password="secret") as peer,
        joined(server, 1, cluster=CLUSTER, **LOGIN) as node,
    ):
        events = peer.subscribe()
        await node.publish(AppEvent(1, b"before"))
        await node.flush()
        caplog.clear()
        server.reload(extra_config=users(publish=True))
        node.publish_nowait(AppEvent(1, b"first"))
        with pytest.raises(PermissionDenied) as caught:
            await node.flush()
        assert (caught.value.subject, caught.value.direction) == (SUBJECT, "publish")
        for refused in (node.publish, lambda event: node.publish_many([event])):
            with pytest.raises(PermissionDenied):
                await refused(AppEvent(1, b"refused"))
        for _ in range(10):
            node.publish_nowait(AppEvent(1, b"kept"))
        stats = node.stats()
        assert (stats.accepted, stats.confirmed, stats.waiting) == (12, 1, 11)
        assert stats.reconnects == 0
        assert sum("does not permit" in line for line in lines(caplog)) == 1
        server.reload(extra_config=users())
        await until(lambda: node.stats().waiting == 0)
        await node.publish(AppEvent(1, b"after"))
        await node.flush()
        received: list[bytes] = []
        while len(received) < 13:
            item = await events.__anext__()
            # On a busy machine, the node may count as silent for a moment.
            if item != Missed(1, None, "gap"):
                received.append(item.payload)
        assert received == [b"before", b"first", *[b"kept"] * 10, b"after"]
        assert sum("permits this user" in line for line in lines(caplog)) == 1
        assert peer.stats().missed == {}
        assert_accounts(node, peer)


async def test_waiting_publisher_is_refused(server: LocalServer) -> None:
    capacity = {"client": 1, "batch_bytes": 64}
    async with joined(server, 1, cluster=CLUSTER, capacity=capacity, **LOGIN) as node:
        server.reload(extra_config=users(publish=True))
        with pytest.raises(PermissionDenied):
            await node.publish(*[AppEvent(1, bytes(50))] * 9)


async def test_close_counts_refused_events(server: LocalServer) -> None:
    async with joined(server, 1, cluster=CLUSTER, **LOGIN) as node:
        server.reload(extra_config=users(publish=True))
        for _ in range(3):
            node.publish_nowait(AppEvent(1, b""))
        started = time.monotonic()
        assert await node.close(timeout=60) == 3
        assert time.monotonic() - started < 30


async def test_lost_subscribe_right_is_an_absence(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        joined(server, 2, cluster=CLUSTER, user="other", password="secret") as peer,
        joined(server, 1, cluster=CLUSTER, **LOGIN) as node,
    ):
        events = node.subscribe()
        await peer.publish(AppEvent(1, b"before"))
        while await events.__anext__() != AppEvent(1, b"before"):
            pass
        caplog.clear()
        server.reload(extra_config=users(subscribe=True))
        await until(lambda: any("does not permit" in line for line in lines(caplog)))
        await peer.publish(*[AppEvent(1, b"lost")] * 7)
        await peer.flush()
        server.reload(extra_config=users())
        await until(lambda: any("permits this user" in line for line in lines(caplog)))
        await peer.publish(AppEvent(1, b"after"))
        received: list[Any] = []
        while AppEvent(1, b"after") not in received:
            received.append(await events.__anext__())
        assert AppEvent(1, b"lost") not in received
        assert any(isinstance(item, Missed) for item in received)
        assert sum("to subscribe" in line for line in lines(caplog)) == 2
        assert node.stats().reconnects == 0


async def test_right_missing_at_reconnect_is_waited_for(server: LocalServer) -> None:
    async with (
        joined(server, 2, cluster=CLUSTER, user="other", password="secret") as peer,
        joined(server, 1, cluster=CLUSTER, **LOGIN) as node,
    ):
        server.kill()
        await until(lambda: not node.is_connected)
        server.settings.extra_config = users(publish=True, subscribe=True)
        await server.start_async()
        node.publish_nowait(AppEvent(1, b"kept"))
        await until(lambda: node.stats().connection == "connected")
        with pytest.raises(PermissionDenied):
            await node.flush()
        server.reload(extra_config=users())
        await until(lambda: node.stats().waiting == 0)
        await until(lambda: peer.stats().received == 1)
        before = node.stats().received
        await peer.publish(AppEvent(1, b"after"))
        await until(lambda: node.stats().received > before)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("direction", ["publish", "subscribe"])
def test_toggled_rights_lose_nothing_silently(direction: str, loop: str) -> None:
    async def toggle() -> None:
        with LocalServer(extra_config=users()) as server:
            async with crowd(server, 2, cluster={"subject": SUBJECT}, **LOGIN) as nodes:
                stop = asyncio.Event()

                async def produce(index: int) -> None:
                    node = nodes.nodes[index]
                    while not stop.is_set():
                        try:
                            await nodes.ledger.publish(node, 20)
                        except PermissionDenied:
                            nodes.ledger.sent[node.node_id] = node.stats().accepted
                        await asyncio.sleep(POLL_INTERVAL)  # a load, not a wait

                producers = [asyncio.create_task(produce(index)) for index in range(2)]
                for number in range(repeats(4, long=20)):
                    before = [node.stats().received for node in nodes.nodes]
                    await until(
                        lambda: all(
                            node.stats().received > count + 100
                            for node, count in zip(nodes.nodes, before, strict=True)  # noqa: B023
                        )
                    )
                    await asyncio.to_thread(server.reload, extra_config=users(**{direction: True}))
                    if number % 2 == 0:
                        await until(lambda: not any(node.health() for node in nodes.nodes))
                    # Otherwise the right may be back before a node notices.
                    await asyncio.to_thread(server.reload, extra_config=users())
                stop.set()
                await asyncio.gather(*producers)
                await nodes.even()

    runner(loop)(toggle())
