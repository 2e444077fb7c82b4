"""Servers, connections and processes that stop without an end."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from fastcoord import Node, Notice, PeerDown, PeerUp
from fastcoord.nats.connection import Connection
from fastcoord.server import LocalServer
from support.cluster.crowd import crowd
from support.cluster.nodes import node_toml
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.processes.node_process import node_process
from support.scale import repeats
from support.wait import until

HEARTBEAT = 0.4
CLUSTER = {"heartbeat": "400ms"}
LONG_HEARTBEAT = 1.0
LONG_CLUSTER = {"heartbeat": "1s"}
"""With this, a node waits long enough for the others to reconnect on a busy machine too."""
TIMEOUT = {"connection": "1s"}
SLACK = 10.0
"""Seconds that a busy machine may be late; without heartbeats a silent server is noticed after more
than a minute."""


async def disconnected(*nodes: Node, heartbeat: float, record_property: Any) -> None:
    """Wait until no node is connected, which must take at most three heartbeats."""
    started = time.monotonic()
    await until(lambda: not any(node.is_connected for node in nodes))
    elapsed = time.monotonic() - started
    record_property("noticed_after_heartbeats", round(elapsed / heartbeat, 2))
    assert elapsed <= 3 * heartbeat + SLACK


@pytest.mark.parametrize("end", ["thaw", "restart"])
async def test_frozen_server_loses_nothing(
    server: LocalServer, end: str, record_property: Any
) -> None:
    async with crowd(server, cluster=LONG_CLUSTER) as nodes:
        for node in nodes.nodes:
            await nodes.ledger.publish(node, 100)
        await nodes.even()
        server.freeze()
        for node in nodes.nodes:
            await nodes.ledger.publish(node, 50)
        await disconnected(*nodes.nodes, heartbeat=LONG_HEARTBEAT, record_property=record_property)
        for node in nodes.nodes:
            await nodes.ledger.publish(node, 50)
        if end == "thaw":
            server.thaw()
        else:
            server.kill()
            await server.start_async()
        await until(lambda: nodes.is_connected)
        await nodes.even()
        notices = [each for node in nodes.nodes for each in nodes.record(node).notices]
        # On a busy machine, peers count as silent before the loss of the connection is noticed.
        if not any(isinstance(each, PeerDown) for each in notices):
            assert nodes.ledger.missed() == {}


@pytest.mark.slow
async def test_repeated_freezes_are_accounted(server: LocalServer) -> None:
    async with crowd(server, cluster=CLUSTER) as nodes:
        async with nodes.load():
            for _ in range(repeats(2, long=20)):
                await nodes.progress(100)
                server.freeze()
                await until(lambda: not any(node.is_connected for node in nodes.nodes))
                server.thaw()
                await until(lambda: nodes.is_connected)
        await nodes.even()


async def test_half_open_connection_is_replaced(server: LocalServer, record_property: Any) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([proxy, server, server], cluster=CLUSTER, timeout=TIMEOUT) as nodes,
    ):
        cut_off, *others = nodes.nodes
        proxy.to_server.swallow()
        proxy.to_client.swallow()
        await nodes.ledger.publish(cut_off, 100)
        await disconnected(cut_off, heartbeat=HEARTBEAT, record_property=record_property)
        for node in others:
            notices = nodes.record(node).notices
            await until(lambda: PeerDown(1, False) in notices)  # noqa: B023
            await nodes.ledger.publish(node, 10)
            # The server has these events before the node behind the proxy returns.
            await node.flush()
        proxy.to_server.resume()
        proxy.to_client.resume()
        await nodes.even()
        # What the others published meanwhile did not reach it, and it reports the exact number.
        assert nodes.ledger.missed() == {(1, 2): {"gap": 10}, (1, 3): {"gap": 10}}
        for node in others:
            await until(lambda: came_back(1, nodes.record(node).notices))  # noqa: B023


def came_back(node_id: int, notices: list[Notice]) -> bool:
    """Whether a peer was reported as down and later as up."""
    down = PeerDown(node_id, False)
    return down in notices and PeerUp(node_id) in notices[notices.index(down) :]


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


async def test_short_freeze_keeps_connection(server: LocalServer) -> None:
    async with crowd(server, cluster=LONG_CLUSTER) as nodes:
        for _ in range(2):
            began_at = time.monotonic()
            server.freeze()
            await asyncio.sleep(LONG_HEARTBEAT / 4)  # the length of the freeze
            server.thaw()
            was_short = time.monotonic() - began_at < LONG_HEARTBEAT
            thawed_at = time.time()
            await nodes.ledger.publish(nodes.nodes[0], 10)
            await until(
                lambda: all(
                    peer.last_heard > thawed_at  # noqa: B023
                    for node in nodes.nodes
                    for peer in node.peers()
                )
            )
            await nodes.even()
            if not was_short:
                break  # the machine is busy
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
            await until(lambda: came_back(2, record.notices))
            received = node.stats().received
            await until(lambda: node.stats().received >= received + 100)
        await node.flush()

        async def has_everything() -> bool:
            received = (await process.report())["received"]
            return bool(received) and received[0]["place"] == nodes.ledger.sent[1]

        await until(has_everything)
        report = await process.end()
        line = report["received"][0]
        assert line["faults"] == []
        assert report["waiting"] == 0
        # Neither node loses anything by the pause: the server kept the messages.
        assert (line["missed"], report["reconnects"]) == ({}, 0)
        await until(lambda: record.place(2) == report["sent"])
        assert record.sender(2).faults == []
        assert record.missed(2) == {}


async def test_held_flush_sends_few_pings(server: LocalServer) -> None:
    async with (
        Proxy(server.host, server.port) as near,
        Proxy(server.host, server.port) as far,
        crowd([near, far], 2, cluster={"heartbeat": "10s"}, timeout={"request": "1m"}) as nodes,
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
        started = time.monotonic()
        await asyncio.wait([flushing], timeout=LONG_HEARTBEAT)
        assert not flushing.done(), "the flush was not held"
        # Two in each heartbeat detect a silent server.
        assert pings <= 4 + 4 * (time.monotonic() - started) / 10
        await far.accept()
        await flushing
        await nodes.even()


async def test_interrupted_write_is_repeated(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler may raise an exception during a write."""
    async with crowd(server, count=2) as nodes:
        sender = nodes.nodes[0]
        publish = Connection.publish
        interrupted = asyncio.Event()

        def interrupt(_: Connection, *given: Any, **more: Any) -> int:
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
