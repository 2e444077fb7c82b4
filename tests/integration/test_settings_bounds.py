"""The settings of timeouts, intervals and capacities have their documented effect."""

import asyncio
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest

import fastcoord
from fastcoord import AppEvent, ConnectionLost, Event, ReloadBlockedIps, RequestTimeout
from fastcoord.nats.transport import MessageTransport
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, assert_accounts, collect
from support.cluster.nodes import joined
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.servers.unusable import listening, refused
from support.wait import until

Cluster = dict[str, Any]
INFO = b'INFO {"server_id":"x","version":"2.12.0","max_payload":1048576,"headers":true}\r\n'
QUIET = {"protocol": "fastcoord-1", "heartbeat": "1h"}
"""Without heartbeats only the tested setting can detect a silent server or send a PING."""


# -------------------------------------------------------------------------------------- timeouts


@pytest.mark.parametrize("seconds", [0.2, 0.6])
@pytest.mark.parametrize("info", [b"", INFO], ids=["silent", "slow"])
async def test_timeout_connection_bounds_attempt(seconds: float, info: bytes) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Each byte arrives well within the timeout, and all of them long after it.
        reading = asyncio.ensure_future(reader.read())
        for byte in info:
            if not reading.done():
                writer.write(bytes([byte]))
                await asyncio.wait([reading], timeout=0.1)
        await reading

    async with listening(slow) as address:
        timeout = {"connection": int(seconds * 1000)}
        text, error, took = await refused(address, timeout=timeout)
        assert f"no answer within {seconds:g} s (timeout.connection)" in text
        assert isinstance(error, fastcoord.ConnectTimeout)
        assert seconds <= took


@pytest.mark.parametrize("seconds", [0.2, 0.6])
@pytest.mark.parametrize("request_of", ["flush", "ping"])
async def test_timeout_request_bounds_calls(
    server: LocalServer, seconds: float, request_of: str
) -> None:
    timeout = {"request": int(seconds * 1000)}
    async with (
        accounted(server, 1, cluster=QUIET, timeout=timeout) as node,
        accounted(server, 2, cluster=QUIET),
    ):
        await until(lambda: is_answered(node))
        server.freeze()
        await node.publish(ReloadBlockedIps())
        started = time.monotonic()
        with pytest.raises(RequestTimeout, match=f"{request_of}: .* {seconds:g} s") as caught:
            await (node.flush() if request_of == "flush" else node.ping(2))
        took = time.monotonic() - started
        assert isinstance(caught.value, TimeoutError)
        assert seconds <= took
        assert node.stats().waiting == 1
        server.thaw()
        await until(lambda: node.stats().confirmed == 1)


async def is_answered(node: fastcoord.Node) -> bool:
    """Ping node 2; a busy machine may need longer than the timeout."""
    try:
        return await node.ping(2) > 0
    except RequestTimeout:
        return False


async def test_ping_of_missing_node_fails(shared_server: LocalServer, cluster: Cluster) -> None:
    async with accounted(shared_server, 1, cluster=cluster, timeout={"request": "200ms"}) as node:
        with pytest.raises(RequestTimeout, match=r"node 77 did not answer in 0\.2 s"):
            await node.ping(77)


# ---------------------------------------------------------------------------------- ping-interval


@pytest.mark.parametrize(("interval", "expected"), [("100ms", True), ("1h", False)])
async def test_ping_interval_sends_pings(
    shared_server: LocalServer, interval: str, expected: bool
) -> None:
    pings: list[float] = []

    def count(frame: Frame) -> Frame:
        if frame.verb == "PING":
            pings.append(time.monotonic())
        return frame

    async with (
        Proxy(shared_server.host, shared_server.port) as proxy,
        accounted(proxy, 1, cluster=QUIET, ping_interval=interval) as node,
    ):
        proxy.to_server.filter = count
        started = time.monotonic()
        if expected:
            await until(lambda: len(pings) >= 4)
        else:
            await until(lambda: time.monotonic() > started + 0.3)
        assert node.is_connected
        most = (time.monotonic() - started) / 0.1 + 2
        assert (len(pings) <= most) if expected else pings == []
        proxy.to_server.filter = None


async def test_two_unanswered_pings_reconnect(
    shared_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with Proxy(shared_server.host, shared_server.port) as proxy:
        settings: dict[str, Any] = {"cluster": QUIET, "timeout": {"connection": "1s"}}
        async with accounted(proxy, 1, ping_interval="100ms", **settings) as node:
            proxy.to_client.swallow()
            started = time.monotonic()
            await until(lambda: not node.is_connected)
            assert time.monotonic() - started > 0.15
            proxy.to_client.resume()
            await until(lambda: node.is_connected)
    assert "two PINGs unanswered" in caplog.text


# --------------------------------------------------------------------------------- max-reconnects


@pytest.mark.parametrize("setting", [{}, {"max_reconnects": False}])
async def test_default_reconnects_without_limit(
    server: LocalServer, setting: dict[str, bool]
) -> None:
    async with Proxy(server.host, server.port) as proxy, accounted(proxy, 1, **setting) as node:
        server.kill()
        # Each attempt reaches the proxy and fails there, because the server is killed.
        await until(lambda: proxy.accepted >= 5)
        await node.publish(ReloadBlockedIps())
        server.restart()
        await node.flush()
        assert node.stats().confirmed == 1


@pytest.mark.parametrize("allowed", [0, 1, 5])
async def test_max_reconnects_counts_all_servers(server: LocalServer, allowed: int) -> None:
    proxies = (Proxy(server.host, server.port), Proxy(server.host, server.port))
    async with (
        proxies[0],
        proxies[1],
        accounted(proxies, 1, max_reconnects=allowed) as node,
        node.subscribe() as events,
    ):
        waiting = asyncio.create_task(collect(events, 1))
        server.kill()
        with pytest.raises(ConnectionLost) as caught:
            await waiting
        assert isinstance(caught.value, ConnectionError)
        assert sum(proxy.accepted for proxy in proxies) == 1 + allowed
        expected = "max-reconnects is 0" if allowed == 0 else f"none of {allowed} attempts"
        assert expected in str(caught.value)
        assert "max-reconnects" in str(caught.value)
        with pytest.raises(ConnectionLost):
            await node.publish(ReloadBlockedIps())
        with pytest.raises(ConnectionLost):
            await node.flush()
        with pytest.raises(ConnectionLost):
            await node.ping(2)
        with pytest.raises(ConnectionLost):
            node.subscribe()
        assert not node.is_connected


def has_reconnected(node: fastcoord.Node, times: int) -> bool:
    return node.stats().reconnects == times


async def test_reconnect_resets_attempts(server: LocalServer) -> None:
    async with accounted(server, 1, max_reconnects=2000) as node:
        for times in range(1, 4):
            server.restart()
            await until(partial(has_reconnected, node, times))
        await node.flush()


# --------------------------------------------------------------------------------------- capacity


@pytest.mark.parametrize("capacity", [1, 5, 9])
async def test_capacity_client_blocks_publish(
    server: LocalServer, cluster: Cluster, capacity: int
) -> None:
    sizes = {"client": capacity, "batch_bytes": 256}
    async with accounted(server, 1, cluster=cluster, capacity=sizes) as node:
        server.kill()
        await until(lambda: not node.is_connected)
        # Each event fills a batch. The open batch comes in addition to the sealed ones.
        full = [AppEvent(number, b"x" * 200) for number in range(capacity + 3)]
        tasks = []
        for event in full:
            tasks.append(asyncio.ensure_future(node.publish(event)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [True] * (capacity + 1) + [False] * 2
        stats = node.stats()
        assert (stats.waiting_batches, stats.accepted) == (capacity, capacity + 1)
        assert_accounts(node)
        server.restart()
        await asyncio.gather(*tasks)
        await node.flush()
        assert node.stats().confirmed == capacity + 3


@pytest.mark.parametrize("capacity", [1, 7])
async def test_capacity_client_bounds_publish_nowait(
    server: LocalServer, cluster: Cluster, capacity: int
) -> None:
    sizes = {"client": capacity, "batch_bytes": 256}
    async with accounted(server, 1, cluster=cluster, capacity=sizes) as node:
        server.kill()
        await until(lambda: not node.is_connected)
        for number in range(100):
            node.publish_nowait(AppEvent(number, b"x" * 200))
        stats = node.stats()
        assert (stats.waiting_batches, stats.waiting) == (capacity, capacity + 1)
        assert stats.discarded == 100 - capacity - 1
        assert await node.close(timeout=0.1) == capacity + 1


@pytest.mark.parametrize("capacity", [1, 6])
async def test_capacity_subscription_bounds_messages(
    shared_server: LocalServer, cluster: Cluster, capacity: int
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(
            shared_server, 2, cluster=cluster, capacity={"subscription": capacity}
        ) as receiver,
        receiver.subscribe() as events,
    ):
        for _ in range(20):
            await sender.publish(ReloadBlockedIps())
            await sender.flush()
        await until(lambda: receiver.stats().received == 20)
        stats = events.stats()
        assert (stats.high_water_messages, stats.missed) == (capacity, 20 - capacity)


@pytest.mark.parametrize("size", [1, 1_000, 65_535, 300_000])
async def test_capacity_read_buffer_bounds_reads(
    shared_server: LocalServer, cluster: Cluster, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[MessageTransport, int]] = []
    original = MessageTransport.buffer_updated

    def count(transport: MessageTransport, nbytes: int) -> None:
        reads.append((transport, nbytes))
        original(transport, nbytes)

    monkeypatch.setattr(MessageTransport, "buffer_updated", count)
    events: list[Event] = [AppEvent(1, b"x" * 10_000)] * (1 if size == 1 else 200)
    async with (
        joined(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity={"read_buffer": size}) as receiver,
        receiver.subscribe() as subscription,
    ):
        reads.clear()
        await sender.publish_many(events)
        assert await collect(subscription, len(events)) == events
        # The sender's connection reads only PONGs; most bytes are read by the receiver's.
        totals: Counter[MessageTransport] = Counter()
        for transport, nbytes in reads:
            totals[transport] += nbytes
        busiest = totals.most_common(1)[0][0]
        largest = max(nbytes for transport, nbytes in reads if transport is busiest)
        if size <= 65_535:
            # More bytes are in the socket, so only the setting can limit a read.
            assert largest == size
        else:
            assert 65_535 < largest <= size
