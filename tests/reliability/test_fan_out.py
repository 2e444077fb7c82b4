"""Every event of every publisher reaches every node."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from fastcoord.server import LocalServer
from support.cluster.crowd import crowd
from support.cluster.nodes import node_toml
from support.processes.node_process import node_process
from support.wait import until


@pytest.mark.parametrize("count", [2, 8, 32])
async def test_one_publisher_reaches_all(server: LocalServer, count: int) -> None:
    # With many nodes on few cores, short heartbeats would load the machine.
    async with crowd(server, count, cluster={"heartbeat": "1s"}) as nodes:
        publisher, *others = nodes.nodes
        for _ in range(50):
            await nodes.ledger.publish(publisher, 20)
            await asyncio.sleep(0)
        await nodes.even()
        assert nodes.ledger.missed() == {}
        assert [node.stats().received for node in others] == [1_000] * (count - 1)
        assert publisher.stats().received == 0


async def test_all_publishers_reach_all(server: LocalServer) -> None:
    async with crowd(server, 8, cluster={"heartbeat": "1s"}) as nodes:
        async with nodes.load(burst=5):
            await nodes.progress(200)
        await nodes.even()
        assert nodes.ledger.missed() == {}


@pytest.mark.slow
async def test_processes_receive_all_events(server: LocalServer, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    # While all of them publish on few cores, a node may not run for some time.
    cluster = {"protocol": "fastcoord-1", "heartbeat": "5s"}
    config.write_text(node_toml(server, cluster=cluster), encoding="utf-8")
    async with crowd(server, 1, cluster=cluster) as nodes, contextlib.AsyncExitStack() as stack:
        (publisher,) = nodes.nodes
        processes = [
            await stack.enter_async_context(node_process(config, number, burst=5))
            for number in (2, 3, 4)
        ]
        await until(lambda: sum(bool(peer.is_up) for peer in publisher.peers()) == 3)
        await nodes.ledger.publish(publisher, 5_000)
        for process in processes:
            await process.send("stop")

        async def all_received_everything() -> bool:
            reports = [await process.report() for process in processes]
            sent = {report["node"]: report["sent"] for report in reports} | {1: 5_000}
            return all(
                {line["sender"]: line["place"] for line in report["received"]}
                == {sender: events for sender, events in sent.items() if sender != report["node"]}
                for report in reports
            )

        await until(all_received_everything)
        for process in processes:
            report = await process.end()
            assert [(line["missed"], line["faults"]) for line in report["received"]] == [
                ({}, [])
            ] * 3
            assert report["overflow"] == report["waiting"] == report["discarded"] == 0
            line = next(line for line in report["received"] if line["sender"] == 1)
            assert (line["first"], line["got"]) == (0, 5_000)
            assert nodes.ledger.records[1].sender(report["node"]).got == report["sent"]
