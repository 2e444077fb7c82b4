"""Measure streams beside plain NATS, and write the table of docs/streams.md.

::

    python -m benchmarks.streams --docs docs/streams.md     # about five minutes
    python -m benchmarks.streams --receivers 1 --rounds 5   # prints only

For each number of receivers, plain NATS and every storage take turns. The publisher is one
process, and the receivers share up to two; each receiver is a node with one subscription. Events
pass in full batches, one in each message, and at a fixed rate for the latency. The servers' CPU
time includes the starts of the nodes; their memory is that after the runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nats

import fastcoord
from benchmarks import data, peers
from benchmarks.peers import fastcoord_nodes, fastcoord_stream_nodes
from fastcoord.server import LocalCluster, LocalServer

RECEIVERS = (1, 8, 32)
ROUNDS = {1: 3}
"""How often each measurement is repeated, by the number of receivers; otherwise once."""
PROCESSES = 2
LATENCY_RATE = 1_000
LATENCY_SECONDS = 2.0
FULL = {1: 2_000_000, 8: 400_000, 32: 160_000}
SINGLE = {1: 150_000, 8: 40_000, 32: 12_000}
"""The numbers of events in full batches and of one in each message, by the number of receivers."""
ONE_EVENT: dict[str, Any] = {"kind": "AppEvent", "options": {"capacity.batch-bytes": 64}}
PATIENCE = 120.0
BEGIN, END = "<!-- table: streams -->\n", "<!-- end -->\n"


class Setup(NamedTuple):
    """Where events pass.

    :ivar storage: ``None`` for plain NATS.
    """

    name: str
    servers: int
    storage: str | None = None


SETUPS = (
    Setup("plain NATS", 1),
    Setup("memory", 1, "memory"),
    Setup("file", 1, "file"),
    Setup("plain NATS, three servers", 3),
    Setup("memory, three replicas", 3, "memory"),
    Setup("file, three replicas", 3, "file"),
)
Row = dict[str, float]


# ------------------------------------------------------------------------------ one process


def report(**facts: Any) -> None:
    """Print a line for the process that started this one."""
    print(json.dumps(facts), flush=True)


async def next_line() -> str:
    """Wait for a line on standard input."""
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def configuration(job: dict[str, Any]) -> fastcoord.Config:
    """Return the configuration of the nodes; make the stream if there is one."""
    wire = peers.Wire(**job["wire"])
    if job["storage"] is None:
        return fastcoord_nodes.configuration(wire)
    return await fastcoord_stream_nodes.configuration(wire)


async def receive(job: dict[str, Any]) -> None:
    """Receive the events at several nodes."""
    config = await configuration(job)
    delays: list[int] = []
    async with contextlib.AsyncExitStack() as stack:
        subscriptions = []
        for number in range(job["first"], job["first"] + job["nodes"]):
            node = await stack.enter_async_context(fastcoord.connect(config, node_id=number))
            subscriptions.append(await stack.enter_async_context(node.subscribe()))

        async def consume(subscription: Any) -> None:
            left = job["count"]
            async for event in subscription:
                if job["is_paced"]:
                    delays.append(time.monotonic_ns() - event.change_id)
                left -= 1
                if not left:
                    return

        before = cpu_seconds()
        report(ready=True)
        await asyncio.wait_for(asyncio.gather(*map(consume, subscriptions)), PATIENCE)
        report(end=time.monotonic_ns(), cpu=cpu_seconds() - before, delays=delays)
        await next_line()


async def publish(job: dict[str, Any]) -> None:
    """Publish the events, and remove the stream at the end."""
    config = await configuration(job)
    count: int = job["count"]
    async with fastcoord.connect(config, node_id=1) as node:
        report(ready=True)
        await next_line()
        before, start = cpu_seconds(), time.monotonic_ns()
        if job["is_paced"]:
            for number in range(count):
                due = start + number * 1_000_000_000 // LATENCY_RATE
                await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
                event = fastcoord.StateChange(account_id=1, change_id=time.monotonic_ns(), types=1)
                await node.publish(event)
        else:
            make = data.numbered_app_events if "kind" in job["wire"] else data.numbered
            events: Sequence[Any] = make(10_000)
            for number in range(count):
                await node.publish(events[number % len(events)])
        await node.flush()
        report(start=start, cpu=cpu_seconds() - before)
        await next_line()
    if config.cluster.stream is not None:
        client = await nats.connect(job["wire"]["url"])
        await client.jetstream(timeout=30).delete_stream(config.cluster.stream)
        await client.close()


# -------------------------------------------------------------------------- all processes


class Worker:
    """A process of this module."""

    def __init__(self, role: str, job: dict[str, Any]) -> None:
        environment = {
            **os.environ,
            "FASTCOORD_STORAGE": job["storage"] or "",
            "FASTCOORD_REPLICAS": str(job["replicas"]),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.streams", "--worker", role, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the measurement has failed")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self.go_on()
        self._process.wait(PATIENCE)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._process.kill()
        self._process.communicate()


def run(
    servers: Sequence[LocalServer],
    setup: Setup,
    receivers: int,
    count: int,
    *,
    is_paced: bool = False,
    **wire: Any,
) -> Row:
    """Run the processes once."""
    subject = f"bench.streams.{time.monotonic_ns()}"
    job = {
        "wire": {"url": servers[0].url, "subject": subject, **wire},
        "storage": setup.storage,
        "replicas": setup.servers,
        "count": count,
        "is_paced": is_paced,
    }
    before = sum(map(server_cpu, servers))
    with contextlib.ExitStack() as stack:
        workers = []
        processes = min(receivers, PROCESSES)
        for number in range(processes):
            share = {"nodes": receivers // processes, "first": 2 + number * receivers}
            server = servers[(number + 1) % len(servers)]
            here = {**job, **share, "wire": {**job["wire"], "url": server.url}}  # type: ignore[dict-item]
            workers.append(stack.enter_context(Worker("receive", here)))
        publisher = stack.enter_context(Worker("publish", job))
        for worker in (*workers, publisher):
            worker.read()
        publisher.go_on()
        received = [worker.read() for worker in workers]
        sent = publisher.read()
        for worker in (*workers, publisher):
            worker.end()
    delays = [delay for each in received for delay in each["delays"]]
    seconds = (max(each["end"] for each in received) - sent["start"]) / 1e9
    return {
        "rate": count / seconds,
        "publisher": sent["cpu"] / count * 1e9,
        "receiver": sum(each["cpu"] for each in received) / count / receivers * 1e9,
        "servers": (sum(map(server_cpu, servers)) - before) / count * 1e9,
        "p50": statistics.median(delays) / 1e3 if delays else 0.0,
        "p99": statistics.quantiles(delays, n=100)[98] / 1e3 if delays else 0.0,
    }


def server_cpu(server: LocalServer) -> float:
    """Return the CPU seconds of a server."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def server_memory(server: LocalServer) -> float:
    """Return the MiB that a server occupies."""
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@contextlib.contextmanager
def started(count: int) -> Iterator[Sequence[LocalServer]]:
    """Start servers with JetStream."""
    if count == 1:
        with LocalServer(jetstream=True) as server:
            yield [server]
    else:
        with LocalCluster(count, jetstream=True) as cluster:
            yield cluster.servers


def measure(receivers: int, rounds: int) -> dict[Setup, dict[str, Row]]:
    """Measure every setup with a number of receivers, in turns."""
    found: dict[Setup, dict[str, list[Row]]] = {
        setup: defaultdict(list[dict[str, float]]) for setup in SETUPS
    }
    jobs: dict[str, tuple[int, dict[str, Any]]] = {
        "full": (FULL[receivers], {}),
        "single": (SINGLE[receivers], ONE_EVENT),
        "paced": (int(LATENCY_RATE * LATENCY_SECONDS), {"is_paced": True}),
    }
    for count in sorted({setup.servers for setup in SETUPS}):
        setups = [setup for setup in SETUPS if setup.servers == count]
        with started(count) as servers:
            for _ in range(rounds):
                for kind, (events, options) in jobs.items():
                    for setup in setups:
                        row = run(servers, setup, receivers, events, **options)
                        row["memory"] = sum(map(server_memory, servers))
                        found[setup][kind].append(row)
    return {
        setup: {kind: median(rows) for kind, rows in kinds.items()}
        for setup, kinds in found.items()
    }


def median(rows: list[Row]) -> Row:
    """Return the median of each figure."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def line(receivers: int, setup: Setup, kinds: dict[str, Row], plain: dict[str, Row]) -> str:
    """Format one row of the table."""
    full, single, paced = kinds["full"], kinds["single"], kinds["paced"]
    ratio = full["rate"] / plain["full"]["rate"]
    return (
        f"| {receivers} | {setup.name}"
        f" | {full['rate']:,.0f} ({ratio:.2f})"
        f" | {single['rate']:,.0f} ({single['rate'] / plain['single']['rate']:.2f})"
        f" | {paced['p50']:,.0f}, {paced['p99']:,.0f}"
        f" | {single['publisher']:,.0f}, {single['receiver']:,.0f}, {single['servers']:,.0f}"
        f" | {full['memory']:,.0f} |"
    )


HEAD = """| receivers | storage | events/s, full batches (ratio to plain NATS) \
| events/s, one a message (ratio) | latency at 1,000/s in µs: p50, p99 \
| CPU in ns an event, one a message: publisher, each receiver, all servers | servers' MiB |
| --- | --- | --- | --- | --- | --- | --- |"""


def main() -> None:
    """Run the measurements, print the table, and write it into a page."""
    if sys.argv[1:2] == ["--worker"]:
        role, job = sys.argv[2:]
        asyncio.run((receive if role == "receive" else publish)(json.loads(job)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receivers", type=int, nargs="*", default=RECEIVERS, choices=RECEIVERS)
    parser.add_argument("--rounds", type=int, help="of each measurement")
    parser.add_argument("--docs", type=Path, help="the page that gets the table")
    arguments = parser.parse_args()
    begun = time.monotonic()
    lines = [HEAD]
    print(HEAD, flush=True)
    for receivers in arguments.receivers:
        figures = measure(receivers, arguments.rounds or ROUNDS.get(receivers, 1))
        for setup, kinds in figures.items():
            plain = next(each for each in SETUPS if each.servers == setup.servers)
            lines.append(line(receivers, setup, kinds, figures[plain]))
            print(lines[-1], flush=True)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    if arguments.docs is not None:
        page = arguments.docs.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        lines_of_table = "\n".join(lines)
        text = f"{before}{BEGIN}\n{lines_of_table}\n\n{END}{after}"
        arguments.docs.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
