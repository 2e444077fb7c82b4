"""Nodes that join a cluster of servers: nothing is lost from the moment ``connect()`` returns."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from fastcoord import AppEvent, Missed
from fastcoord.presence.introduction import JOIN_LIMIT
from fastcoord.server import LocalCluster, LocalServer
from support.cluster.accounting import collect
from support.cluster.nodes import joined
from support.cluster.plain_peer import PlainPeer
from support.loops import LOOPS, runner
from support.servers.routed_pair import Route, routed_pair
from support.servers.unusable import listening, unused_address
from support.wait import until

SUBJECT = "join.test"
CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "200ms", "subject": SUBJECT}
QUIET: dict[str, Any] = {**CLUSTER, "heartbeat": "1m"}
"""With this, no node counts as silent during a test."""
SLACK = 60.0
"""Seconds that a busy machine may be late with a timer."""


DELAY = 0.05
"""Seconds that bytes need from one server to the other."""


@asynccontextmanager
async def distant_servers() -> AsyncIterator[tuple[LocalServer, LocalServer]]:
    """Start two servers whose only route is slow in both directions."""
    loop = asyncio.get_running_loop()
    route_port = int(unused_address().name.rpartition(":")[2])

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", route_port)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    loop.call_later(DELAY, target.write, data)
            target.close()

        await asyncio.gather(pass_on(reader, to_server), pass_on(from_server, writer))
        with contextlib.suppress(ConnectionError):
            await to_server.wait_closed()

    route = (
        "cluster {{ name: c, listen: 127.0.0.1:{port}, no_advertise: true, routes: [{routes}] }}"
    )
    async with listening(relay) as address:
        near = LocalServer(extra_config=route.format(port=route_port, routes=""))
        far_routes = f"nats-route://{address.name}"
        far = LocalServer(extra_config=route.format(port=-1, routes=far_routes))
        with near, far:
            await until(lambda: far.monitor("routez")["num_routes"] > 0)
            yield near, far


@pytest.fixture
def patient_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes wait for the answers of peers, however late a busy machine makes them."""
    monkeypatch.setattr("fastcoord.presence.introduction.JOIN_LIMIT", 60.0)


def remote_subjects(server: LocalServer) -> set[str]:
    """Return the subjects on which clients of other servers have subscribed."""
    routes = server.monitor("routez", subs=1)["routes"]
    return {subject for route in routes for subject in route.get("subscriptions_list", [])}


@pytest.mark.usefixtures("patient_join")
@pytest.mark.parametrize("loop", LOOPS)
def test_events_after_join_are_received(loop: str) -> None:
    async def join_again_and_again() -> None:
        async with (
            distant_servers() as (near, far),
            joined(near, 1, cluster=QUIET) as peer,
        ):
            await until(lambda: f"{SUBJECT}.fastcoord" in remote_subjects(far))
            async with joined(far, 3, cluster=QUIET) as node:
                # The far server knows the subscriptions of the peer.
                await until(lambda: node.peers())
            for _ in range(3):
                # The near server has dropped the subscription of the node before.
                await until(lambda: SUBJECT not in remote_subjects(near))
                async with joined(far, 2, cluster=QUIET) as node:
                    events = node.subscribe()
                    peer.publish_nowait(AppEvent(1, b"at once"))
                    assert await collect(events, 1) == [AppEvent(1, b"at once")]

    runner(loop)(join_again_and_again())


@pytest.mark.parametrize("is_known", [False, True])
async def test_events_before_proof_are_reported(is_known: bool) -> None:
    cluster = {**CLUSTER, "heartbeat": "2s"}
    async with routed_pair() as pair, joined(pair.near, 1, cluster=cluster) as peer:
        await peer.publish(AppEvent(1, b"past"))
        if is_known:
            await until(lambda: SUBJECT in remote_subjects(pair.far))
        pair.route.stall()
        async with joined(pair.far, 2, cluster=cluster) as node:
            events = node.subscribe()
            # The near server does not know the subscription of the node yet.
            await peer.publish(AppEvent(1, b"at once"))
            await peer.flush()
            pair.route.recover()
            await until(lambda: SUBJECT in remote_subjects(pair.near))
            await peer.publish(AppEvent(1, b"later"))
            missed, event = await collect(events, 2, seconds=30)
            assert isinstance(missed, Missed)
            # The number is unknown, or after two heartbeats that of the whole past.
            assert (missed.node_id, missed.events or 2, missed.cause) == (1, 2, "gap")
            assert event == AppEvent(1, b"later")


async def test_events_behind_leaf_node_are_reported() -> None:
    cluster = {**CLUSTER, "heartbeat": "2s"}
    hub_port = int(unused_address().name.rpartition(":")[2])
    # Without the name of a cluster, the server's INFO does not ask for a proof.
    config = "cluster {{ name: {}, listen: 127.0.0.1:-1 }}\nleafnodes {{ {} }}"
    async with Route(hub_port) as route:
        remote = route.url.replace("nats-route", "nats-leaf")
        with (
            LocalServer(extra_config=config.format("hub", f"listen: 127.0.0.1:{hub_port}")) as hub,
            LocalServer(
                extra_config=config.format("leaf", f'remotes: [ {{ url: "{remote}" }} ]')
            ) as leaf,
        ):
            await until(lambda: hub.monitor("leafz")["leafnodes"])
            async with joined(hub, 1, cluster=cluster) as peer:
                await peer.publish(AppEvent(1, b"past"))
                route.stall()
                async with joined(leaf, 2, cluster=cluster) as node:
                    events = node.subscribe()
                    await peer.publish(AppEvent(1, b"at once"))
                    await peer.flush()
                    route.recover()
                    await until(lambda: 2 in [each.node_id for each in peer.peers()])
                    await peer.publish(AppEvent(1, b"later"))
                    missed, event = await collect(events, 2, seconds=30)
                    assert isinstance(missed, Missed)
                    assert (missed.node_id, missed.events or 2, missed.cause) == (1, 2, "gap")
                    assert event == AppEvent(1, b"later")


@pytest.mark.parametrize("late_answer", [False, True])
async def test_only_peers_without_proof_are_reported(
    late_answer: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not late_answer:
        request.getfixturevalue("patient_join")
        # Both peers answer within this time.
        monkeypatch.setattr("fastcoord.presence.introduction.QUIET_TIME", 1.0)
    cluster = {**CLUSTER, "heartbeat": "60s"}
    async with (
        routed_pair() as pair,
        joined(pair.near, 1, cluster=cluster) as far_peer,
        AsyncExitStack() as stack,
    ):
        # The second hello would follow half a heartbeat after the first.
        await until(lambda: f"{SUBJECT}.fastcoord" in remote_subjects(pair.far))
        near_peer = await stack.enter_async_context(joined(pair.far, 3, cluster=cluster))
        await until(lambda: far_peer.peers() and near_peer.peers())
        for each in (far_peer, near_peer):
            await each.publish(AppEvent(1, b"past"))
            await each.flush(peers=True)
        if late_answer:
            pair.route.stall()
        async with joined(pair.far, 2, cluster=cluster) as node:
            events = node.subscribe()
            pair.route.recover()
            await until(lambda: len(node.peers()) == 2)
            for each in (far_peer, near_peer):
                await each.publish(AppEvent(1, b"later"))
            items = await collect(events, 2 + late_answer, seconds=30)
            missed = [item for item in items if isinstance(item, Missed)]
            assert missed == [Missed(1, None, "gap")] * late_answer


async def test_join_without_answer_is_bounded() -> None:
    async with (
        distant_servers() as (near, far),
        joined(near, 1, cluster=CLUSTER),
        PlainPeer(near.url, subject=f"{SUBJECT}.fastcoord"),
    ):
        started = time.monotonic()
        async with joined(far, 2, cluster=CLUSTER):
            assert time.monotonic() - started < JOIN_LIMIT + SLACK


async def test_join_without_peers_does_not_wait() -> None:
    with LocalCluster(2) as cluster:

        async def joins_at_once() -> bool:
            started = time.monotonic()
            async with joined(cluster.servers[0], 1, cluster=CLUSTER):
                return time.monotonic() - started < 0.4

        # Once is enough: a busy machine may be late.
        await until(joins_at_once)


async def test_join_without_reply_subject_is_proven() -> None:
    granted = [SUBJECT, f"{SUBJECT}.fastcoord"]
    user = {
        "user": "a",
        "password": "b",
        "permissions": {"publish": {"allow": granted}, "subscribe": {"allow": granted}},
    }
    config = f"authorization {{ users: {json.dumps([user])} }}\ngateway {{ name: g, port: -1 }}"
    with LocalServer(extra_config=config) as server:
        async with joined(server, 1, cluster=CLUSTER, user="a", password="b"):

            async def joins_at_once() -> bool:
                started = time.monotonic()
                async with joined(server, 2, cluster=CLUSTER, user="a", password="b") as node:
                    seconds = time.monotonic() - started
                    assert await node.ping(1) < 10
                    return seconds < 0.4

            await until(joins_at_once)


async def test_slow_connect_reports_no_past(server: LocalServer) -> None:
    async def mute(reader: Any, writer: Any) -> None:
        await reader.read()

    async with (
        joined(server, 1, cluster=CLUSTER) as peer,
        listening(mute) as silent,
    ):
        await peer.publish(*[AppEvent(1, b"past")] * 100)
        await peer.flush()
        took, is_late = 0.0, False
        # The addresses are tried in random order.
        while took < 1 or is_late:
            started = time.monotonic()
            async with joined(
                [silent, server], 2, cluster=CLUSTER, timeout={"connection": "1s"}
            ) as node:
                took = time.monotonic() - started
                events = node.subscribe()
                await until(lambda: node.peers())
                await peer.publish(AppEvent(1, b"present"))
                item = await events.__anext__()
                # On a busy machine, the peer may count as silent.
                is_late = time.monotonic() - started - took > 0.3
                if not is_late:
                    assert item == AppEvent(1, b"present")
                    assert node.stats().missed == {}
