"""Presence against the number of nodes: joining, idling, and a restart of the server.

::

    python -m benchmarks.scale 25 50 100 200
    python -m benchmarks.scale --model

The nodes share a few processes and one server. The server counts the messages: those that nodes
have published, and those that it has delivered to nodes. With ``--model``, nothing is measured: the
heartbeats of idle nodes are computed for more nodes than one machine can run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import fastcoord
from fastcoord import Node
from fastcoord.presence.heartbeats import heartbeat_interval
from fastcoord.receiving.runs import HEARTBEATS_UNTIL_DOWN
from fastcoord.server import LocalServer

PROCESSES = 4
MODELLED = (200, 1_000, 5_000)
NODES_PER_LEAF = 100
HEARTBEAT = 2.0
IDLE_SECONDS = 6.0
PATIENCE = 60.0
POLL_INTERVAL = 0.1
CONFIG = """
[store.nats]
type = "nats"
address = "{url}"
[cluster]
coordinator = "nats"
protocol = "fastcoord-1"
"""

Row = dict[str, float]


def known(node: Node) -> int:
    """Return how many peers of a node are up."""
    return sum(peer.is_up is True for peer in node.peers())


async def worker(url: str, first: int, count: int) -> None:
    """Run nodes until the standard input ends, and report on them for each line of it."""
    loop = asyncio.get_running_loop()
    config = fastcoord.parse_config(CONFIG.format(url=url))
    async with contextlib.AsyncExitStack() as stack:
        nodes = await asyncio.gather(
            *(
                stack.enter_async_context(fastcoord.connect(config, node_id=number))
                for number in range(first, first + count)
            )
        )
        while await loop.run_in_executor(None, sys.stdin.readline):
            usage = resource.getrusage(resource.RUSAGE_SELF)
            report = {
                "up": min(map(known, nodes)),
                "reconnects": min(node.stats().reconnects for node in nodes),
                "cpu": usage.ru_utime + usage.ru_stime,
            }
            print(json.dumps(report), flush=True)


class Workers:
    """The processes with the nodes."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    async def report(self) -> list[Any]:
        """Return one report of each process."""
        return await asyncio.gather(*map(ask, self._processes))

    async def cpu(self) -> float:
        """Return the CPU seconds of all processes."""
        return sum(each["cpu"] for each in await self.report())

    async def until(self, condition: Callable[[Any], bool]) -> None:
        """Wait until the report of each process meets a condition."""
        deadline = time.monotonic() + PATIENCE
        while not all(map(condition, await self.report())):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {PATIENCE} s: {await self.report()}")
            await asyncio.sleep(POLL_INTERVAL)


async def ask(process: asyncio.subprocess.Process) -> Any:
    """Return a new report of one process."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    return json.loads(await process.stdout.readline())


@contextlib.asynccontextmanager
async def workers(url: str, nodes: int) -> AsyncIterator[Workers]:
    """Start the processes with their nodes."""
    share = nodes // PROCESSES
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.scale"),
            *("--worker", url, str(1 + number * share), str(share)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    try:
        yield Workers(processes)
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        await asyncio.gather(*(process.wait() for process in processes))


async def measure(nodes: int) -> Row:
    """Measure one number of nodes, which the number of processes divides."""
    with LocalServer() as server:

        def counted() -> tuple[int, int]:
            varz = server.monitor("varz")
            return varz["in_msgs"], varz["out_msgs"]

        row: Row = {"nodes": nodes}

        def note(phase: str, before: tuple[int, int], cpu: float, seconds: float) -> None:
            published, delivered = counted()
            row[f"{phase} published"] = published - before[0]
            row[f"{phase} delivered"] = delivered - before[1]
            row[f"{phase} cpu"] = cpu
            row[f"{phase} seconds"] = seconds

        started = time.monotonic()
        async with workers(server.url, nodes) as crowd:
            await crowd.until(lambda each: each["up"] == nodes - 1)
            note("join", (0, 0), await crowd.cpu(), time.monotonic() - started)
            before, cpu, started = counted(), await crowd.cpu(), time.monotonic()
            await asyncio.sleep(IDLE_SECONDS)
            note("idle", before, await crowd.cpu() - cpu, time.monotonic() - started)
            cpu, started = await crowd.cpu(), time.monotonic()
            server.restart()
            await crowd.until(lambda each: each["reconnects"] == 1)
            note("restart", (0, 0), await crowd.cpu() - cpu, time.monotonic() - started)
            await crowd.until(lambda each: each["up"] == nodes - 1)
        return row


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| nodes | joining | idle, per second | restart |",
        "| ----- | ------- | ---------------- | ------- |",
    ]
    for row in rows:
        seconds = row["idle seconds"]
        lines.append(
            f"| {row['nodes']:.0f}"
            f" | {row['join published']:,.0f}, {row['join delivered']:,.0f},"
            f" {row['join cpu']:.1f} s"
            f" | {row['idle published'] / seconds:,.0f}, {row['idle delivered'] / seconds:,.0f},"
            f" {row['idle cpu'] / seconds:.1%}"
            f" | {row['restart published']:,.0f}, {row['restart delivered']:,.0f},"
            f" {row['restart cpu']:.1f} s, {row['restart seconds']:.1f} s |"
        )
    return "\n".join(lines)


def model() -> str:
    """Return what the heartbeats of idle nodes cost, as Markdown.

    A leaf node receives each message once from the hub, and delivers it to its own nodes.
    """
    columns = (
        *("nodes", "a node sends every", "counts as down after", "sent per second"),
        *("delivered by a single server", "by each leaf node", "by the hub"),
    )
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join(['-----'] * len(columns))} |"]
    for nodes in MODELLED:
        interval = heartbeat_interval(HEARTBEAT, nodes)
        sent = nodes / interval
        lines.append(
            f"| {nodes:,} | {interval:g} s | {HEARTBEATS_UNTIL_DOWN * interval:g} s | {sent:,.0f}"
            f" | {sent * nodes:,.0f} | {sent * NODES_PER_LEAF:,.0f}"
            f" | {sent * (nodes / NODES_PER_LEAF):,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure each given number of nodes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", type=int, nargs="*", default=[24, 48, 100, 200])
    parser.add_argument("--worker", nargs=3)
    parser.add_argument("--model", action="store_true", help="compute, do not measure")
    options = parser.parse_args()
    if options.model:
        print(model())
        return
    if options.worker:
        url, first, count = options.worker
        asyncio.run(worker(url, int(first), int(count)))
        return
    rows = [asyncio.run(measure(nodes)) for nodes in options.nodes]
    print(table(rows))


if __name__ == "__main__":
    main()
