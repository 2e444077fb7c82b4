"""Servers, lines and processes that stop without dying."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from fastcoord import PeerDown, PeerUp
from fastcoord.nats.connection import Connection
from fastcoord.server import LocalServer
from support.cluster.crowd import Crowd, crowd
from support.cluster.nodes import node_toml
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.processes.node_process import node_process
from support.wait import until

HEARTBEAT = 0.4
CLUSTER = {"heartbeat": "400ms"}
TIMEOUT = {"connection": "1s"}
SLACK = 1.0
"""Seconds that a busy machine may be late with a timer."""


async def noticed(nodes: Crowd, record_property: Any) -> None:
    """Wait until no node is connected, which must take at most three heartbeats."""
    started = time.monotonic()
    await until(lambda: not any(node.is_connected for node in nodes.nodes))
    elapsed = time.monotonic() - started
    record_property("noticed_after_heartbeats", round(elapsed / HEARTBEAT, 2))
    assert elapsed <= 3 * HEARTBEAT + SLACK


@pytest.mark.parametrize("end", ["thaw", "restart"])
async def test_frozen_server_loses_nothing(
    server: LocalServer, end: str, record_property: Any
) -> None:
    async with crowd(server, cluster=CLUSTER, timeout=TIMEOUT) as nodes:
        for node in nodes.nodes:
            await nodes.ledger.publish(node, 100)
        await nodes.even()
        server.freeze()
        for node in nodes.nodes:
            await nodes.ledger.publish(node, 50)
        await noticed(nodes, record_property)
        for node in nodes.nodes:
            await nodes.ledger.publish(node, 50)
        if end == "thaw":
            server.thaw()
        else:
            server.kill()
            await server.start_async()
        await until(lambda: nodes.is_connected, timeout=30)
        await nodes.even()
        assert nodes.ledger.missed() == {}


@pytest.mark.slow
async def test_repeated_freezes_are_accounted(
    server: LocalServer,
) -> None:
    async with crowd(server, cluster=CLUSTER, timeout=TIMEOUT) as nodes:
        async with nodes.load():
            for _ in range(3):
                await nodes.progress(100)
                server.freeze()
                await until(lambda: not any(node.is_connected for node in nodes.nodes))
                server.thaw()
                await until(lambda: nodes.is_connected, timeout=30)
        await nodes.even()


async def test_half_open_connection_is_replaced(server: LocalServer, record_property: Any) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([proxy, server, server], cluster=CLUSTER, timeout=TIMEOUT) as nodes,
    ):
        lonely, *others = nodes.nodes
        proxy.to_server.swallow()
        proxy.to_client.swallow()
        started = time.monotonic()
        await nodes.ledger.publish(lonely, 100)
        await until(lambda: not lonely.is_connected)
        elapsed = time.monotonic() - started
        record_property("noticed_after_heartbeats", round(elapsed / HEARTBEAT, 2))
        assert elapsed <= 3 * HEARTBEAT + SLACK
        for node in others:
            await until(lambda: PeerDown(1, False) in nodes.record(node).notices)  # noqa: B023
            await nodes.ledger.publish(node, 10)
        proxy.to_server.resume()
        proxy.to_client.resume()
        await nodes.even()
        # What the others said while it was away is gone, and it knows exactly how much.
        assert nodes.ledger.missed() == {(1, 2): {"gap": 10}, (1, 3): {"gap": 10}}
        for node in others:
            assert nodes.record(node).notices.count(PeerUp(1)) == 2


async def test_one_way_loss_is_noticed(server: LocalServer) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([proxy, server], 2, cluster=CLUSTER, timeout=TIMEOUT) as nodes,
    ):
        first = nodes.nodes[0]
        proxy.to_client.swallow()
        await until(lambda: not first.is_connected)
        await nodes.ledger.publish(first, 10)
        proxy.to_client.resume()
        await nodes.even()
        assert nodes.ledger.missed() == {}


async def test_slow_connection_stays_open(
    server: LocalServer,
) -> None:
    delay = HEARTBEAT / 20
    behind = 100

    async def slowly(frame: Frame) -> Frame:
        await asyncio.sleep(delay)
        return frame

    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([server, proxy], 2, cluster=CLUSTER) as nodes,
    ):
        sender, receiver = nodes.nodes
        proxy.to_client.filter = slowly
        # The answer to a PING waits behind these, for more than three heartbeats.
        assert behind * delay > 3 * HEARTBEAT
        for _ in range(behind):
            await nodes.ledger.publish(sender)
            await asyncio.sleep(0)
        await nodes.even()
        assert nodes.ledger.missed() == {}
        assert receiver.stats().reconnects == 0


async def test_short_freeze_keeps_connection(server: LocalServer) -> None:
    async with crowd(server, cluster=CLUSTER) as nodes:
        for _ in range(3):
            batches = [node.stats().received_batches for node in nodes.nodes]
            server.freeze()
            await asyncio.sleep(HEARTBEAT / 2)  # the hesitation itself
            server.thaw()
            await nodes.ledger.publish(nodes.nodes[0], 10)
            await until(
                lambda: all(
                    node.stats().received_batches >= before + 2
                    for node, before in zip(nodes.nodes, batches, strict=True)  # noqa: B023
                )
            )
        await nodes.even()
        assert nodes.ledger.missed() == {}
        assert [node.stats().reconnects for node in nodes.nodes] == [0, 0, 0]


async def test_paused_process_recovers(server: LocalServer, tmp_path: Path) -> None:
    cluster = {"protocol": "fastcoord-1", **CLUSTER}
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster=cluster), encoding="utf-8")
    async with (
        crowd(server, 1, cluster=CLUSTER) as nodes,
        node_process(config, 2) as process,
    ):
        (node,) = nodes.nodes
        record = nodes.record(node)
        await until(lambda: PeerUp(2) in record.notices)
        async with nodes.load():
            await until(lambda: node.stats().received >= 100)
            process.freeze()
            await until(lambda: PeerDown(2, False) in record.notices)
            process.thaw()
            await until(lambda: record.notices.count(PeerUp(2)) == 2)
            received = node.stats().received
            await until(lambda: node.stats().received >= received + 100)
        await node.flush()

        async def knows_everything() -> bool:
            heard = (await process.book())["received"]
            return bool(heard) and heard[0]["place"] == nodes.ledger.sent[1]

        await until(knows_everything, timeout=30)
        book = await process.end()
        line = book["received"][0]
        assert line["faults"] == []
        assert book["waiting"] == 0
        # Neither its own pause nor that of its peer is a loss: the server kept what it was sent.
        assert (line["missed"], book["reconnects"]) == ({}, 0)
        await until(lambda: record.place(2) == book["sent"])
        assert record.sender(2).faults == []
        assert record.missed(2) == {}


async def test_held_flush_sends_few_pings(
    server: LocalServer,
) -> None:
    async with (
        Proxy(server.host, server.port) as near,
        Proxy(server.host, server.port) as far,
        crowd([near, far], count=2, cluster=CLUSTER) as nodes,
    ):
        pings = 0

        def count(frame: Frame) -> Frame:
            nonlocal pings
            pings += frame.verb == "PING"
            return frame

        far.refuse()
        near.cut()
        far.cut()
        sender = nodes.nodes[0]
        await until(lambda: not sender.is_connected)
        await until(lambda: sender.is_connected)
        near.to_server.filter = count
        await nodes.ledger.publish(sender)
        flushing = asyncio.ensure_future(sender.flush())
        await asyncio.wait([flushing], timeout=3 * HEARTBEAT)
        assert not flushing.done(), "it was not held: nothing is shown"
        # Two in a heartbeat are what finds out a silent server.
        assert pings < 20
        await far.accept()
        await flushing
        await nodes.even()


async def test_interrupted_write_is_repeated(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a signal's handler that raises in the wrong moment."""
    async with crowd(server, count=2) as nodes:
        sender = nodes.nodes[0]
        publish = Connection.publish
        interrupted = asyncio.Event()

        def interrupt(link: Connection, *given: Any, **more: Any) -> int:
            monkeypatch.setattr(Connection, "publish", publish)
            interrupted.set()
            raise InterruptedError("for the test")

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        monkeypatch.setattr(Connection, "publish", interrupt)
        await nodes.ledger.publish(sender)
        await interrupted.wait()
        await nodes.even()
        assert nodes.ledger.missed() == {}
        assert sender.stats().confirmed == sender.stats().accepted == 1
