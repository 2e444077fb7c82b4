"""Reconnecting: how often, how fast, to which server, and what happens when it is given up."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest

import fastcoord
from fastcoord import AppEvent, ConnectionLost
from fastcoord._session import Session
from fastcoord.nats.connection import Connection
from fastcoord.nats.supervisor import MAX_DEFECTS
from fastcoord.server import LocalCluster, LocalServer
from support.cluster.accounting import accounted
from support.cluster.crowd import crowd
from support.cluster.nodes import joined, node_toml, patiently_connected
from support.faults.proxy import Proxy
from support.servers.bare_server import BareServer
from support.servers.scripted import ScriptedServer
from support.wait import until

CLUSTER = {"protocol": "fastcoord-1", "heartbeat": "200ms"}
QUIET = {"protocol": "fastcoord-1", "heartbeat": "10s"}
"""With this, a node does not lose its connection because the machine is busy."""
PATIENT = {"heartbeat": "2s"}
"""With this, a node waits long enough for the others to reconnect on a busy machine too."""
SLACK = 10.0
"""Seconds that a busy machine may be late with a timer."""


# ------------------------------------------------------------------------------- max-reconnects


async def test_reconnect_resets_attempts(server: LocalServer) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        joined(proxy, 1, cluster=QUIET, max_reconnects=2) as node,
    ):
        for times in range(1, 5):
            proxy.cut()
            await until(lambda: node.stats().reconnects == times)  # noqa: B023
        await node.publish(AppEvent(1, b""))
        await node.flush()


async def test_lost_connection_ends_waiting_calls(server: LocalServer) -> None:
    async with (
        joined(server, 2, cluster=CLUSTER) as other,
        joined(
            server, 1, cluster=CLUSTER, max_reconnects=3, capacity={"client": 2, "batch_bytes": 64}
        ) as node,
    ):
        events = node.subscribe()
        batches = node.subscribe().batches()
        await until(lambda: node.peers() and other.peers())
        await other.publish(AppEvent(1, b"the last one"))
        await until(lambda: node.stats().received == 1)
        server.kill()
        publishing = asyncio.create_task(node.publish(*[AppEvent(1, b"x" * 40)] * 9))
        flushing = asyncio.create_task(node.flush())
        # Buffered events are delivered first.
        assert await events.__anext__() == AppEvent(1, b"the last one")
        assert list(await batches.__anext__()) == [AppEvent(1, b"the last one")]
        for waiting in (events.__anext__(), batches.__anext__(), publishing, flushing):
            with pytest.raises(ConnectionLost, match="max-reconnects"):
                await waiting
        for late in (node.flush, lambda: node.ping(2)):
            with pytest.raises(ConnectionLost):
                await late()
        with pytest.raises(ConnectionLost):
            await node.publish(AppEvent(1, b""))
        with pytest.raises(ConnectionLost):
            node.subscribe()
        assert not node.is_connected
        await other.close(timeout=0.1)


# ------------------------------------------------------------------------ the server ends it


@pytest.mark.parametrize(
    "reason", ["User Authentication Expired", "Authorization Violation", "Stale Connection"]
)
async def test_server_error_causes_reconnect(reason: str) -> None:
    async with (
        BareServer() as script,
        accounted(script, 1, cluster=QUIET) as node,
    ):
        await until(lambda: len(script.connects) == 1)
        script.send(f"-ERR '{reason}'")
        await script.drop()
        await until(lambda: len(script.connects) >= 2)
        await until(lambda: node.is_connected)
        await node.publish(AppEvent(1, b"still here"))
        await node.flush()


async def test_removed_user_reconnects_later() -> None:
    with LocalServer(users={"node": "secret", "other": "x"}) as server:
        async with crowd(server, 2, cluster=PATIENT, user="node", password="secret") as nodes:
            server.reload(users={"other": "x"})
            await until(lambda: not any(node.is_connected for node in nodes.nodes))
            await nodes.ledger.publish(nodes.nodes[0], 100)
            server.reload(users={"node": "secret", "other": "x"})
            await nodes.even()
            assert nodes.ledger.missed() == {}


async def test_rotated_password_is_reread(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first", encoding="utf-8")
    with LocalServer(users={"node": "first"}) as server:
        async with crowd(server, 2, user="node", password=f"%{{file:{file}}}%") as nodes:
            for password in ("second", "third"):
                file.write_text(password, encoding="utf-8")
                before = [node.stats().reconnects for node in nodes.nodes]
                server.reload(users={"node": password})
                await until(
                    lambda: all(
                        node.is_connected and node.stats().reconnects > count
                        for node, count in zip(nodes.nodes, before, strict=True)  # noqa: B023
                    )
                )
                await nodes.ledger.publish(nodes.nodes[0], 10)
                await nodes.even()


# ---------------------------------------------------------------------------- other servers


async def test_announced_servers_are_used() -> None:
    with LocalCluster(3) as cluster:
        known = cluster.servers[0]
        async with crowd(known, 2) as nodes:
            assert {node.stats().server for node in nodes.nodes} == {f"{known.host}:{known.port}"}
            known.kill()
            await until(lambda: nodes.is_connected)
            await nodes.ledger.publish(nodes.nodes[0], 100)
            await nodes.even()
            others = {f"{server.host}:{server.port}" for server in cluster.servers[1:]}
            assert {node.stats().server for node in nodes.nodes} <= others


async def test_server_that_left_is_forgotten() -> None:
    async with (
        ScriptedServer() as known,
        BareServer() as left,
        BareServer() as member,
        joined(known, 1, cluster=CLUSTER) as node,
    ):
        left.manner = member.manner = "refuse"
        for announced in ([left.url, member.url], [member.url]):
            urls = [url.removeprefix("nats://") for url in announced]
            known.send(b"INFO " + json.dumps({"connect_urls": urls}).encode() + b"\r\n")
        await node.flush()
        known.close()
        await until(lambda: len(member.attempts) >= 3)
        assert left.attempts == []
        await node.close(timeout=0)


async def test_rejected_batch_is_not_confirmed() -> None:
    async with BareServer() as server, joined(server, 1, cluster=CLUSTER) as node:
        await node.flush()
        server.manner = "mute"
        await node.publish(AppEvent(1, b""))
        await until(lambda: any(b"NATS/1.0" in frame.raw for frame in server.frames[-2:]))
        server.send("-ERR 'Invalid Subject'\r\n" + "PONG\r\n" * 9)
        await until(lambda: not node.is_connected)
        assert node.stats().confirmed == 0
        server.manner = "serve"
        await node.flush()


async def test_lame_duck_server_is_left() -> None:
    with LocalCluster(2) as cluster:
        leaving, staying = cluster.servers
        async with crowd([leaving, staying], 2) as nodes:
            moving, _ = nodes.nodes
            async with nodes.load():
                await nodes.progress(100)
                leaving.lame_duck()
                place = f"{staying.host}:{staying.port}"
                await until(lambda: moving.stats().server == place)
                assert leaving.is_running
                await nodes.progress(100)
            await nodes.even()
            assert (2, 1) not in nodes.ledger.missed()
            leaving.kill()  # it would end only after its lame-duck duration


@pytest.mark.parametrize("limit", [{}, {"max_reconnects": 0}], ids=["alone", "no reconnects"])
async def test_last_server_is_used_to_its_end(
    limit: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        LocalServer() as server,
        LocalServer() as unused,
        joined([server, *([unused] if limit else [])], 1, cluster=QUIET, **limit) as node,
    ):
        (used,) = [each for each in (server, unused) if str(each.port) in node.stats().server]
        used.lame_duck()
        await until(lambda: "will shut down" in caplog.text)
        await node.publish(AppEvent(1, b"still here"))
        await node.flush()
        assert node.stats().reconnects == 0
        await node.close()
        used.kill()  # it would end only after its lame-duck duration


# ------------------------------------------------------------------------------------- defects


async def test_defects_count_between_connections(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_up, fails = Session.connection_up, False

    def fail_first(session: Session, connection: Connection) -> None:
        nonlocal fails
        if fails:
            fails = False
            raise RuntimeError("an exception of a signal handler")
        connection_up(session, connection)

    monkeypatch.setattr(Session, "connection_up", fail_first)
    monkeypatch.setattr("fastcoord.nats.backoff.STABLE_AFTER", 0.0)
    async with (
        Proxy(server.host, server.port) as proxy,
        joined(proxy, 1, cluster=QUIET) as node,
    ):
        for times in range(1, MAX_DEFECTS + 2):
            fails = True
            proxy.cut()
            await until(lambda: node.stats().reconnects == times)  # noqa: B023
        await node.flush()


# -------------------------------------------------------------------------------------- backoff


@pytest.mark.slow
async def test_backoff_grows_with_jitter() -> None:
    pauses = []
    async with (
        BareServer() as one,
        BareServer() as two,
        joined(one, 1, cluster=CLUSTER) as first,
        joined(two, 2, cluster=CLUSTER) as second,
    ):
        for script in (one, two):
            script.manner = "refuse"
            script.attempts.clear()
            await script.drop()
        for script in (one, two):
            await until(lambda: len(script.attempts) >= 8)  # noqa: B023
            pauses.append([later - before for before, later in pairwise(script.attempts[:8])])
        await asyncio.gather(first.close(timeout=0.1), second.close(timeout=0.1))
    for number, both in enumerate(zip(*pauses, strict=True), 1):
        longest = min(4.0, 0.05 * 2**number)
        for pause in both:
            assert longest * 0.5 <= pause <= longest + SLACK, (number, pauses)
    differences = [abs(a - b) for a, b in zip(*pauses, strict=True)]
    assert max(differences) > 0.05


async def test_mute_server_times_out() -> None:
    async with BareServer() as script:
        text = node_toml(script, cluster=CLUSTER, timeout={"connection": "300ms"})
        node = await patiently_connected(fastcoord.parse_config(text), node_id=1)
        script.manner = "mute"
        script.attempts.clear()
        await script.drop()
        await until(lambda: len(script.attempts) >= 3)
        script.manner = "serve"
        await until(lambda: node.is_connected)
        await node.close()
