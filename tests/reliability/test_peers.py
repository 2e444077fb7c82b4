"""Peers that come, go, crash, answer a ping, or use the node id of another."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fastcoord import DuplicateNodeId, Missed, PeerDown, PeerUp, RequestTimeout
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect
from support.cluster.crowd import crowd
from support.cluster.ledger import Record
from support.cluster.nodes import joined, node_toml
from support.loops import LOOPS, runner
from support.processes.node_process import node_process
from support.wait import until

CLUSTER = {"protocol": "fastcoord-1", "heartbeat": "200ms"}


async def test_peers_lists_other_nodes(server: LocalServer) -> None:
    async with crowd(server, cluster={"heartbeat": "10s"}) as nodes:
        before = time.time()
        await nodes.ledger.publish(nodes.nodes[1], 7)
        await nodes.even()
        for node in nodes.nodes:
            assert [peer.node_id for peer in node.peers()] == [
                number for number in (1, 2, 3) if number != node.node_id
            ]
            incarnations = {each.node_id: each.stats().incarnation for each in nodes.nodes}
            for peer in node.peers():
                assert peer.is_up
                assert peer.incarnation == incarnations[peer.node_id]
                assert before - 1 <= peer.last_heard <= time.time() + 1
                assert peer.received == (7 if peer.node_id == 2 else 0)
                assert peer.missed == 0
                assert peer.round_trip is None


@pytest.mark.parametrize("loop", LOOPS)
def test_ping_stores_round_trip(server: LocalServer, loop: str) -> None:
    runner(loop)(ping_stores_round_trip(server))


async def ping_stores_round_trip(server: LocalServer) -> None:
    async with crowd(server, cluster={"heartbeat": "10s"}) as nodes:
        first = nodes.nodes[0]
        seconds = await first.ping(2)
        assert seconds > 0
        trips = {peer.node_id: peer.round_trip for peer in first.peers()}
        assert trips == {2: seconds, 3: None}


@pytest.mark.parametrize(
    ("node_id", "error", "message"),
    [
        ("7", TypeError, "node_id must be an integer, not str"),
        (True, TypeError, "not bool"),
        (70_000, ValueError, "node_id must be from 0 to 65535, not 70000"),
        (1, ValueError, "1 is this node"),
    ],
)
async def test_invalid_ping_is_refused(
    server: LocalServer, node_id: Any, error: type[Exception], message: str
) -> None:
    async with joined(server, 1) as node:
        with pytest.raises(error, match=message):
            await node.ping(node_id)


async def test_unanswered_ping_times_out(server: LocalServer) -> None:
    async with accounted(server, 1, cluster=CLUSTER, timeout={"request": "200ms"}) as node:
        started = time.monotonic()
        with pytest.raises(RequestTimeout, match="node 77"):
            await node.ping(77)
        assert time.monotonic() - started >= 0.2
        server.kill()
        await until(lambda: not node.is_connected)
        with pytest.raises(RequestTimeout):
            await node.ping(77)
        await node.close(timeout=0.1)


async def test_killed_node_comes_back(server: LocalServer, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster=CLUSTER), encoding="utf-8")
    async with crowd(server, 1) as nodes:
        (node,) = nodes.nodes
        record = nodes.record(node)
        async with nodes.load():
            async with node_process(config, 9, run=1) as process:
                await until(lambda: record.place(9) > 200)
                await process.kill()
                await until(lambda: record.notices[-1] == PeerDown(9, False))
            first_run = record.sender(9, 1)
            async with node_process(config, 9, run=2) as process:
                await until(lambda: (9, 2) in record.senders)
                second_run = record.senders[9, 2]
                await until(lambda: second_run.got > 200)
                report = await process.end()
                await until(lambda: PeerDown(9, True) in record.notices)
        # The restart is no gap: each run is complete from its first event on.
        assert [first_run.faults, second_run.faults] == [[], []]
        assert record.missed(9) == {}
        assert (first_run.first, second_run.first) == (0, 0)
        assert second_run.got == report["sent"]
        # The killed run said no goodbye, so that it may have sent more.
        assert record.unknown[9] >= 1
        # A peer that a busy machine delays may be reported as down and up in between.
        changes = [each for each in record.notices if not isinstance(each, Missed)]
        assert changes[0] == PeerUp(9)
        assert changes[-1] == PeerDown(9, True)
        for before, after in pairwise(changes):
            assert isinstance(before, PeerUp) is isinstance(after, PeerDown)


async def test_late_node_misses_nothing(server: LocalServer) -> None:
    async with crowd(server, 2) as nodes:
        async with nodes.load():
            await nodes.progress(500)
            async with joined(server, 3, cluster=CLUSTER) as late:
                record = Record(from_the_start=False)
                events = late.subscribe()
                while sum(line.got for line in record.senders.values()) < 1_000:
                    record.take(await events.__anext__())
                assert len(record.senders) == 2
                assert late.stats().missed == {}
                assert all(not line.faults for line in record.senders.values())
                assert all((line.first or 0) > 0 for line in record.senders.values())
        await nodes.even()


async def test_duplicate_node_id_is_reported(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        accounted(server, 3, cluster=CLUSTER) as witness,
        accounted(server, 5, cluster=CLUSTER) as one,
    ):
        everyone = [witness, one]
        records = [Record() for _ in range(3)]
        events = [node.subscribe() for node in everyone]
        await until(lambda: one.peers() and witness.peers())
        async with accounted(server, 5, cluster=CLUSTER) as two:
            events.append(two.subscribe())
            everyone.append(two)
            for record, each in zip(records, events, strict=True):
                while DuplicateNodeId(5) not in record.notices:
                    record.take(*await collect(each, 1))
            assert [node.stats().duplicate_node_ids for node in everyone] == [(5,)] * 3
            lines = [line.getMessage() for line in caplog.records]
            assert sum("use node id 5" in line for line in lines) == 3


async def test_restarted_node_is_no_duplicate(server: LocalServer) -> None:
    long_heartbeat = {**CLUSTER, "heartbeat": "10s"}
    async with crowd(server, 1, cluster=long_heartbeat) as nodes:
        record = nodes.record(nodes.nodes[0])
        for times in range(1, 4):
            async with joined(server, 5, cluster=long_heartbeat) as again:
                await until(lambda: record.notices.count(PeerUp(5)) == times)  # noqa: B023
                assert again.stats().duplicate_node_ids == ()
        await until(lambda: record.notices.count(PeerDown(5, True)) == 3)
        assert nodes.nodes[0].stats().duplicate_node_ids == ()
        assert len(record.notices) == 6
