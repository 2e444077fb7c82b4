"""``flush(peers=True)``: which peers have every event in their rings."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fastcoord import AppEvent, PeersUnconfirmed, ReloadSettings
from fastcoord.config import PROTOCOLS
from fastcoord.presence.presence import PRESENCE_SID, REPLY_SID
from fastcoord.presence.question_line import read_line, write_line
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect
from support.cluster.crowd import crowd
from support.cluster.nodes import joined, node_toml
from support.inputs.questions import header, hmsg
from support.loops import LOOPS, runner
from support.processes.node_process import node_process
from support.servers.scripted import ScriptedServer
from support.wait import until

CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "10s"}
"""With this heartbeat, no node counts as silent on a busy machine."""


@pytest.mark.parametrize("loop", LOOPS)
def test_confirmed_peers_have_events(server: LocalServer, loop: str) -> None:
    runner(loop)(confirmed_peers_have_events(server))


async def confirmed_peers_have_events(server: LocalServer) -> None:
    async with crowd(server, 3, cluster=CLUSTER) as nodes:
        first, *others = nodes.nodes
        for _ in range(20):
            before = [node.stats().received for node in others]
            await nodes.ledger.publish(first, 500)
            assert await first.flush(peers=True) == {2, 3}
            assert [
                node.stats().received - count for node, count in zip(others, before, strict=True)
            ] == [
                500,
                500,
            ]
        assert await first.flush() is None


async def test_new_node_knows_its_peers(server: LocalServer) -> None:
    async with accounted(server, 2, cluster=CLUSTER), accounted(server, 3, cluster=CLUSTER):
        for _ in range(10):
            async with accounted(server, 1, cluster=CLUSTER) as node:
                await node.publish(AppEvent(1, b""))
                assert await node.flush(peers=True) == {2, 3}


async def test_lone_node_has_no_peers(server: LocalServer) -> None:
    async with accounted(server, 1, cluster=CLUSTER) as node:
        await node.publish(AppEvent(1, b""))
        assert await node.flush(peers=True) == frozenset()


async def test_newcomer_needs_no_earlier_events(server: LocalServer) -> None:
    async with accounted(server, 1, cluster=CLUSTER) as node:
        await node.publish(*[AppEvent(1, b"")] * 100)
        await node.flush()
        async with accounted(server, 2, cluster=CLUSTER):
            await until(lambda: [peer.is_up for peer in node.peers()] == [True])
            await node.publish(*[AppEvent(1, b"")] * 10)
            assert await node.flush(peers=True) == {2}


async def test_node_without_events_waits_for_no_heartbeat(server: LocalServer) -> None:
    cluster = {"heartbeat": "60s"}
    async with joined(server, 2, cluster=cluster), joined(server, 1, cluster=cluster) as node:
        assert await node.flush(peers=True) == {2}


async def test_frozen_peer_is_missing(server: LocalServer, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster=CLUSTER), encoding="utf-8")
    settings = {"cluster": CLUSTER, "timeout": {"request": "1s"}}
    async with accounted(server, 1, **settings) as node, accounted(server, 2, **settings):
        async with node_process(config, 9, run=1) as process:
            await until(lambda: len([peer for peer in node.peers() if peer.is_up]) == 2)
            process.freeze()

            async def flush_one_event() -> frozenset[int]:
                await node.publish(ReloadSettings())
                return await node.flush(peers=True)

            async def is_frozen_one_missing() -> bool:
                with pytest.raises(PeersUnconfirmed, match="9 did not confirm in time") as caught:
                    await flush_one_event()
                # On a busy machine, others may be late as well.
                return caught.value.missing == {9}

            async def is_confirmed() -> bool:
                with contextlib.suppress(PeersUnconfirmed):
                    return await flush_one_event() == {2, 9}
                return False

            await until(is_frozen_one_missing)
            process.thaw()
            await until(is_confirmed)
            await process.end()
        await until(lambda: [peer.is_up for peer in node.peers()] == [True, False])
        await node.flush()
        assert await node.flush(peers=True) == {2}


async def test_peer_with_gap_is_missing() -> None:
    protocol = "stalwart-0.15"
    assert PROTOCOLS.index(protocol) == 0
    presence = b"stwt.agora.fastcoord"
    settings = {"cluster": {**CLUSTER, "protocol": protocol}, "timeout": {"request": "1m"}}
    async with ScriptedServer() as server, joined(server, 1, **settings) as node:
        reply = f"stwt.agora.fastcoord.1.{node.stats().incarnation}".encode()

        def questions() -> list[tuple[int, ...]]:
            found = [
                read_line(b"\r\n" + line)
                for fields, line in pairwise(server.lines)
                if fields.startswith(b"F:1aq") and line.startswith(b"Q:")
            ]
            return [numbers for numbers in found if numbers is not None]

        async def answered(gap_end: int) -> None:
            before = len(questions())
            task = asyncio.create_task(node.flush(peers=True))
            await until(lambda: len(questions()) > before)
            token = questions()[-1][0]
            # A wrong token, and then the right one.
            for number in (token ^ 1, token):
                line = write_line((number, 1, 2, gap_end, 0))
                server.send(hmsg(REPLY_SID, reply, b"", header("a", line), b"\x02"))
            await task

        server.send(hmsg(PRESENCE_SID, presence, b"", header("h", b""), b"\x02"))
        await until(lambda: [peer.is_up for peer in node.peers()] == [True])
        await node.publish(ReloadSettings(), ReloadSettings())
        with pytest.raises(PeersUnconfirmed, match="node 2 missed events") as caught:
            await answered(2)
        assert caught.value.missing == {2}
        await answered(2)


async def test_confirmation_survives_server_restart(server: LocalServer) -> None:
    async with crowd(server, 3, cluster=CLUSTER) as nodes:
        first = nodes.nodes[0]
        events = nodes.nodes[1].subscribe()
        server.kill()
        await until(lambda: not first.is_connected)
        await nodes.ledger.publish(first, 5)
        await server.start_async()
        assert await first.flush(peers=True) == {2, 3}
        assert len(await collect(events, 5)) == 5
