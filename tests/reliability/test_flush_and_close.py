"""``flush``, ``close`` and the end of an iteration report the truth in time, in every state."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import fastcoord
from fastcoord import AppEvent, Node, NodeClosed, PeerDown, PeerUp, RequestTimeout
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, assert_accounts
from support.cluster.crowd import crowd
from support.cluster.nodes import joined, node_toml
from support.faults.proxy import Proxy
from support.wait import until

CLUSTER = {"protocol": "fastcoord-1", "heartbeat": "200ms"}
PATIENT = {"protocol": "fastcoord-1", "heartbeat": "10s"}
"""With this, no node counts as silent on a busy machine."""
TIMEOUT = {"request": "300ms"}
SLACK = 10.0
"""Seconds that a busy machine may be late."""

STATES = ["frozen", "dead", "reconnecting", "half-open"]


@asynccontextmanager
async def node_in(state: str, server: LocalServer) -> AsyncIterator[Node]:
    """Yield a node whose connection is in this state, and close it at the end."""
    async with Proxy(server.host, server.port) as proxy:
        text = node_toml(proxy, cluster=CLUSTER, timeout=TIMEOUT)
        node = await fastcoord.connect(fastcoord.parse_config(text), node_id=1)
        await node.publish(AppEvent(1, b"before"))
        # On a busy machine `flush` may raise after its 300 ms.
        await until(lambda: node.stats().confirmed == 1)
        if state == "frozen":
            server.freeze()
        elif state == "half-open":
            proxy.to_server.swallow()
            proxy.to_client.swallow()
        else:
            server.kill()
            if state == "reconnecting":
                await until(lambda: not node.is_connected)
        try:
            yield node
        finally:
            await node.close(timeout=0.1)
            assert_accounts(node)


@pytest.mark.parametrize("state", STATES)
async def test_unconfirmed_flush_raises(server: LocalServer, state: str) -> None:
    async with node_in(state, server) as node:
        await node.publish(AppEvent(1, b"a"), AppEvent(1, b"b"))
        started = time.monotonic()
        with pytest.raises(RequestTimeout):
            await node.flush()
        assert time.monotonic() - started <= 0.3 + SLACK
        assert node.stats().waiting == 2


async def test_failed_flush_still_delivers(server: LocalServer) -> None:
    async with crowd(server, 2, cluster=PATIENT, timeout=TIMEOUT) as nodes:
        server.freeze()
        await nodes.ledger.publish(nodes.nodes[0], 100)
        with pytest.raises(RequestTimeout):
            await nodes.nodes[0].flush()
        server.thaw()
        await nodes.even()
        assert nodes.ledger.missed() == {}


async def test_flush_waits_for_reconnect(server: LocalServer) -> None:
    async with crowd(server, 2) as nodes:
        server.kill()
        await nodes.ledger.publish(nodes.nodes[0], 100)
        flushing = asyncio.create_task(nodes.nodes[0].flush())
        await until(lambda: not any(node.is_connected for node in nodes.nodes))
        assert not flushing.done()
        await server.start_async()
        await flushing
        assert nodes.nodes[0].stats().confirmed == 100
        await nodes.even()


async def test_flush_reports_discarded_events(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with accounted(server, 1, cluster={**CLUSTER, "max_age": "300ms"}) as node:
        server.kill()
        await until(lambda: not node.is_connected)
        await node.publish(AppEvent(1, b""))
        await until(lambda: node.stats().discarded == 1)
        await node.publish(AppEvent(1, b""))
        flushing = asyncio.create_task(node.flush())
        await until(lambda: node.stats().discarded == 2)
        lines = [line for line in caplog.messages if "discarded" in line]
        assert lines == ["node 1: 1 events discarded: they waited longer than cluster.max-age"]
        await server.start_async()
        with pytest.raises(RequestTimeout, match="1 events were discarded"):
            await flushing


@pytest.mark.parametrize("timeout", [0.2, 1.0])
@pytest.mark.parametrize("state", STATES)
async def test_close_counts_undelivered_events(
    server: LocalServer, state: str, timeout: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with node_in(state, server) as node:
        await node.publish(*[AppEvent(1, b"undelivered")] * 7)
        started = time.monotonic()
        assert await node.close(timeout=timeout) == 7
        assert time.monotonic() - started <= timeout + SLACK
        assert await node.close() == 7
        messages = [record.getMessage() for record in caplog.records]
        assert sum("7 events that the server did not confirm" in line for line in messages) == 1
        assert not node.is_connected


async def test_close_delivers_everything(server: LocalServer) -> None:
    async with crowd(server, 2) as nodes:
        closing, staying = nodes.nodes
        await nodes.ledger.publish(closing, 5_000)
        assert await closing.close() == 0
        await nodes.even()
        assert nodes.ledger.missed() == {}
        assert staying.stats().received == 5_000


async def test_close_without_time_ends_node(server: LocalServer) -> None:
    text = node_toml(server, cluster=CLUSTER)
    node = await fastcoord.connect(fastcoord.parse_config(text), node_id=1)
    await node.publish(AppEvent(1, b""))
    assert await node.close(timeout=0) in (0, 1)
    assert not node.is_connected


async def test_close_ends_hanging_attempt(server: LocalServer) -> None:
    async with Proxy(server.host, server.port) as proxy:
        text = node_toml(proxy, cluster=CLUSTER, timeout={"connection": "60s"})
        node = await fastcoord.connect(fastcoord.parse_config(text), node_id=1)
        proxy.to_client.swallow()
        proxy.cut()
        await until(lambda: proxy.accepted == 2)
        started = time.monotonic()
        await node.close(timeout=0.2)
        assert time.monotonic() - started <= 0.2 + SLACK


async def test_close_keeps_buffered_events(server: LocalServer) -> None:
    async with accounted(server, 1, cluster=PATIENT) as sender:
        config = fastcoord.parse_config(node_toml(server, cluster=PATIENT))
        async with fastcoord.connect(config, node_id=2) as receiver:
            events = receiver.subscribe()
            await until(lambda: receiver.peers())
            sent = [AppEvent(1, bytes([number])) for number in range(100)]
            await sender.publish(*sent)
            await until(lambda: receiver.stats().received == 100)
        assert [event async for event in events] == sent
        with pytest.raises(StopAsyncIteration):
            await events.__anext__()


async def test_close_ends_waiting_iteration(server: LocalServer) -> None:
    config = fastcoord.parse_config(node_toml(server, cluster=CLUSTER))
    async with fastcoord.connect(config, node_id=2) as node:
        waiting = asyncio.gather(
            *(collect(node.subscribe()) for _ in range(3)), collect(node.subscribe().batches())
        )
        await asyncio.sleep(0)
    assert await waiting == [[], [], [], []]


async def collect(events: AsyncIterator[object]) -> list[object]:
    return [event async for event in events]


async def test_closed_node_raises(server: LocalServer) -> None:
    config = fastcoord.parse_config(node_toml(server, cluster=CLUSTER))
    async with fastcoord.connect(config, node_id=2) as node:
        pass
    for call in (node.flush, lambda: node.ping(1)):
        with pytest.raises(NodeClosed):
            await call()
    with pytest.raises(NodeClosed):
        await node.publish(AppEvent(1, b""))
    with pytest.raises(NodeClosed):
        node.publish_nowait(AppEvent(1, b""))
    with pytest.raises(NodeClosed):
        node.subscribe()
    assert await node.close() == 0


async def test_close_ends_waiting_calls(server: LocalServer) -> None:
    text = node_toml(server, cluster=CLUSTER, capacity={"client": 2, "batch_bytes": 64})
    node = await fastcoord.connect(fastcoord.parse_config(text), node_id=1)
    server.kill()
    await until(lambda: not node.is_connected)
    publishing = asyncio.create_task(node.publish(*[AppEvent(1, b"x" * 40)] * 9))
    flushing = asyncio.create_task(node.flush())
    pinging = asyncio.create_task(node.ping(3))
    with contextlib.suppress(RequestTimeout):
        await pinging
    lost = await node.close(timeout=0.2)
    for waiting in (publishing, flushing):
        with pytest.raises(NodeClosed):
            await waiting
    assert lost == node.stats().accepted > 0


async def test_goodbye_arrives_at_once(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fastcoord")
    async with crowd(server, 2, cluster={"heartbeat": "30s"}) as nodes:
        closing, staying = nodes.nodes
        record = nodes.record(staying)
        await closing.close()
        # With this heartbeat only the goodbye can have caused the notice.
        await until(lambda: PeerDown(1, True) in record.notices)
        # The peer may have come up before this subscription began.
        assert [each for each in record.notices if each != PeerUp(1)] == [PeerDown(1, True)]


async def test_no_event_follows_goodbye(server: LocalServer) -> None:
    """A program may publish while another part of it closes the node."""
    async with (
        joined(server, 2, cluster=PATIENT) as receiver,
        receiver.subscribe(peers=True) as events,
    ):
        config = fastcoord.parse_config(node_toml(server, cluster=PATIENT))
        sender = await fastcoord.connect(config, node_id=1)
        await sender.flush(peers=True)

        async def publish() -> None:
            while True:
                sender.publish_nowait(AppEvent(1, b""))
                await asyncio.sleep(0)

        publishing = asyncio.create_task(publish())
        assert await sender.close() == 0
        with pytest.raises(NodeClosed):
            await publishing
        received = []
        while len(received) < sender.stats().accepted + 2:
            received.append(await anext(events))
        assert received[-1] == PeerDown(1, True)
        assert received.count(PeerUp(1)) == 1


async def test_lost_goodbye_is_repeated(server: LocalServer) -> None:
    cluster = {**CLUSTER, "heartbeat": "30s"}
    async with (
        Proxy(server.host, server.port) as proxy,
        joined(server, 2, cluster=cluster) as receiver,
        receiver.subscribe(peers=True) as events,
    ):
        node = await fastcoord.connect(
            fastcoord.parse_config(node_toml(proxy, cluster=cluster)), node_id=1
        )
        await node.publish(AppEvent(1, b""))
        await node.flush(peers=True)
        closing = asyncio.create_task(node.close())
        while node.health():  # noqa: ASYNC110 - not an iteration of the event loop may be skipped
            await asyncio.sleep(0)
        # The goodbye is in the socket, which the proxy reads in the next iteration.
        proxy.to_server.swallow()
        await until(lambda: proxy.to_server.swallowed)
        proxy.cut()
        proxy.to_server.resume()
        assert await closing == 0
        while await anext(events) != PeerDown(1, True):
            pass
