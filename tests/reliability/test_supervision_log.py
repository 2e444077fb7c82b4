"""The log reports each change of a connection and each loss once, with its reason."""

import contextlib
import logging
import time
from collections import Counter
from pathlib import Path

import pytest

import fastcoord
from fastcoord import AuthenticationFailed, Disconnected, Missed, Node, Reconnected, ReloadSettings
from fastcoord.server import LocalServer
from support.cluster.crowd import crowd
from support.cluster.nodes import joined, node_toml
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.servers.users import Operator
from support.wait import until


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fastcoord"]


async def test_lost_connection_logs_once(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fastcoord")
    async with crowd(server, 2, cluster={"heartbeat": "2s"}) as nodes:
        caplog.clear()
        async with nodes.load():
            await nodes.progress()
            server.kill()
            await until(lambda: not any(node.is_connected for node in nodes.nodes))
            await until(lambda: sum("reconnecting" in line for line in lines(caplog)) == 2)
            await nodes.published(500)
            await server.start_async()
            await until(lambda: nodes.is_connected)
            await nodes.progress()
        await nodes.even()
        place = f"{server.host}:{server.port}"
        for node in (1, 2):
            own = [line for line in lines(caplog) if line.startswith(f"node {node}: ")]
            lost = [line for line in own if "lost" in line]
            assert len(lost) == 1
            assert place in lost[0]
            assert lost[0].partition("lost: ")[2]
            assert [line for line in own if "connected to" in line] == [
                f"node {node}: connected to {place}"
            ]
            assert len(own) <= 5


async def test_subscriptions_follow_connection(server: LocalServer) -> None:
    async with (
        joined(server, 1) as node,
        node.subscribe(connection=True) as asking,
        node.subscribe() as other,
    ):
        server.kill()
        lost = await anext(asking)
        assert isinstance(lost, Disconnected)
        assert lost.reason
        assert not node.is_connected
        await server.start_async()
        absence = Missed(None, None, "disconnect")
        assert await anext(asking) == absence
        assert await anext(asking) == Reconnected(f"{server.host}:{server.port}")
        assert node.is_connected
        assert await anext(other) == absence
        assert other.stats().buffered_messages == 0
    for events in (asking, other):
        assert events.stats().missed == 0


async def test_thousand_gaps_log_once(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fastcoord")
    seen: Counter[str] = Counter()

    def lose_every_other(frame: Frame) -> Frame | None:
        seen[frame.verb] += frame.is_message
        return None if frame.is_message and seen[frame.verb] % 2 else frame

    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([server, proxy], 2, cluster={"heartbeat": "1s"}) as nodes,
    ):
        proxy.to_client.filter = lose_every_other
        caplog.clear()
        sender, receiver = nodes.nodes
        for _ in range(2_000):
            await nodes.ledger.publish(sender)
            await sender.flush()
        proxy.to_client.filter = None
        await nodes.even()
        assert receiver.stats().missed["gap"] > 500
        assert sum("missed" in line for line in lines(caplog)) == 1
        assert len(lines(caplog)) <= 2


async def test_expired_token_is_reread(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fastcoord")
    operator = Operator()
    file = tmp_path / "node.creds"

    async def before_expiry(text: str) -> Node:
        """Connect before the token expires, which a busy machine may make difficult."""
        while True:
            file.write_text(operator.user(exp=int(time.time()) + 2), encoding="utf-8")
            with contextlib.suppress(AuthenticationFailed):
                return await fastcoord.connect(fastcoord.parse_config(text), node_id=1)

    with LocalServer(extra_config=operator.server_config) as server:
        text = node_toml(server, cluster={"heartbeat": "200ms"}, credentials=f"%{{file:{file}}}%")
        async with await before_expiry(text) as node:
            file.write_text(operator.user(exp=int(time.time()) + 3600), encoding="utf-8")
            await until(lambda: node.stats().reconnects >= 1 and node.is_connected)
            lost = [line for line in lines(caplog) if "lost" in line]
            assert "expired" in lost[0].lower()
            await node.publish(ReloadSettings())
            await node.flush()


async def test_later_reason_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fastcoord")
    with LocalServer(users={"node": "first"}) as server:
        async with joined(server, 1, user="node", password="first", max_reconnects=30) as node:
            server.kill()
            await until(lambda: sum("reconnecting" in line for line in lines(caplog)) == 1)
            server.settings.users = {"node": "second"}
            await server.start_async()
            await until(lambda: sum("reconnecting" in line for line in lines(caplog)) == 2)
            assert "the server refused the credentials" in lines(caplog)[-1]
            assert caplog.records[-1].levelno == logging.WARNING
            assert "the server refused the credentials" in str(node.health())
            server.reload(users={"node": "first"})
            await until(lambda: node.is_connected)
            assert node.health()


async def test_disabled_reconnecting_is_logged_once(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with joined(server, 1, max_reconnects=0):
        pass
    async with joined(server, 1):
        pass
    (line,) = [line for line in lines(caplog) if "max-reconnects = 0" in line]
    assert line.startswith("node 1: max-reconnects = 0: this node ends at the first loss")
