"""The blocking API beside the asynchronous one: ``python -m benchmarks.blocking``.

Each measurement runs in a process of its own, in turn: one thread makes and publishes events one
by one, and one thread reads batches with every field of each event.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import fastcoord
from benchmarks.figures import Figure, number, table
from benchmarks.peers import Wire
from benchmarks.peers.fastcoord_nodes import configuration
from benchmarks.processes import Failed, Process
from benchmarks.worker import report
from fastcoord import Batch, StateChange, blocking
from fastcoord.server import LocalServer

ACCOUNTS = 1000
EVENTS = 2_000_000
FEED = 1000
"""Events of one call of the process that publishes for the readers."""
FACES = ("asynchronous", "blocking")
JOBS = ("publish one by one", "read batches")
LEAST = {"publish one by one": 0.5, "read batches": 0.8}
"""How fast the blocking API must be, as a part of the asynchronous one."""
Rates = dict[str, dict[str, list[float]]]


class Worker(Process):
    """One process of a measurement."""

    def command(self) -> list[str]:
        """Return what is run."""
        return [sys.executable, "-m", "benchmarks.blocking", json.dumps(self.job)]


async def publish_asynchronously(config: fastcoord.Config, count: int) -> None:
    async with fastcoord.connect(config, node_id=1) as node:
        publish = node.publish
        report(ready=True)
        sys.stdin.readline()
        start = time.perf_counter()
        for change in range(count):
            await publish(StateChange(change % ACCOUNTS, change, change % 64))
        await node.flush()
        report(rate=count / (time.perf_counter() - start))


def publish_blocking(config: fastcoord.Config, count: int) -> None:
    with blocking.connect(config, node_id=1) as node:
        publish = node.publish
        report(ready=True)
        sys.stdin.readline()
        start = time.perf_counter()
        for change in range(count):
            publish(StateChange(change % ACCOUNTS, change, change % 64))
        node.flush()
        report(rate=count / (time.perf_counter() - start))


def feed(config: fastcoord.Config, count: int) -> None:
    """Publish for a reader."""
    events = [StateChange(change % ACCOUNTS, change, change % 64) for change in range(FEED)]
    with blocking.connect(config, node_id=1) as node:
        report(ready=True)
        sys.stdin.readline()
        for _ in range(count // FEED):
            node.publish_many(events)
        node.flush()
        report(done=True)


class Sums:
    """What a reader has read, and how fast."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.total = 0
        self.start = 0.0
        self.count = count

    def report(self) -> None:
        report(
            rate=self.count / (time.perf_counter() - self.start),
            total=self.total,
        )


async def read_asynchronously(config: fastcoord.Config, count: int) -> None:
    sums = Sums(count)
    async with fastcoord.connect(config, node_id=2) as node, node.subscribe() as events:
        report(ready=True)
        async for batch in events.batches():
            assert type(batch) is Batch, batch
            if not sums.start:
                sums.start = time.perf_counter()
            total = 0
            for event in batch:
                total += event.account_id + event.change_id + event.types  # type: ignore[attr-defined]
            sums.total += total
            sums.left -= len(batch)
            if not sums.left:
                break
        sums.report()


def read_blocking(config: fastcoord.Config, count: int) -> None:
    sums = Sums(count)
    with blocking.connect(config, node_id=2) as node, node.subscribe() as events:
        report(ready=True)
        for batch in events.batches():
            assert type(batch) is Batch, batch
            if not sums.start:
                sums.start = time.perf_counter()
            total = 0
            for event in batch:
                total += event.account_id + event.change_id + event.types  # type: ignore[attr-defined]
            sums.total += total
            sums.left -= len(batch)
            if not sums.left:
                break
        sums.report()


def measure(url: str, job: str, face: str, count: int, tag: str) -> float:
    """Run one job once.

    :return: events per second.
    :raises Failed: the reader has not read what was sent.
    """
    wire = {"url": url, "subject": f"bench.blocking.{tag}", "kind": "StateChange", "options": {}}
    common = {"wire": wire, "count": count, "peer": face}
    with ExitStack() as stack:
        worker = stack.enter_context(Worker({**common, "role": job}))
        worker.receive()
        if job == "publish one by one":
            worker.send()
            return float(worker.receive()["rate"])
        feeder = stack.enter_context(Worker({**common, "role": "feed"}))
        feeder.receive()
        feeder.send()
        found = worker.receive()
        one_call = sum(change % ACCOUNTS + change + change % 64 for change in range(FEED))
        if found["total"] != one_call * (count // FEED):
            raise Failed(f"{face}: read {found['total']} instead of {one_call * (count // FEED)}")
        return float(found["rate"])


def contest(url: str, *, rounds: int, scale: float, log: Callable[[str], None]) -> dict[str, Any]:
    """Measure every job with both APIs, in turn."""
    count = max(FEED, int(EVENTS * scale) // FEED * FEED)
    rates: Rates = {job: {face: [] for face in FACES} for job in JOBS}
    for turn in range(rounds):
        for job in JOBS:
            for face in FACES:
                rates[job][face].append(measure(url, job, face, count, f"{turn}.{face}"))
                log(f"  {job}, {face}: {rates[job][face][-1]:,.0f} events/s")
    return {
        job: [
            Figure.of(
                face,
                "events per second",
                rates[job][face],
                rates[job]["asynchronous"],
                less_is_better=False,
            ).as_dict()
            for face in FACES
        ]
        for job in JOBS
    }


def rows(results: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    for job, figures in results.items():
        asynchronous, blocked = figures
        yield (
            job,
            number(asynchronous["median"]),
            number(blocked["median"]),
            f"{number(1 / blocked['ratio'])} x",
            f"{LEAST[job]} x",
        )


def formatted(results: dict[str, Any]) -> str:
    """Format the table."""
    header = (
        "one thread",
        "asynchronous, events per second",
        "blocking, events per second",
        "blocking is",
        "goal, at least",
    )
    return table(header, list(rows(results)))


def work(job: dict[str, Any]) -> None:
    """Do the job of one process."""
    config = configuration(Wire(**job["wire"]))
    count, asynchronous = job["count"], job["peer"] == "asynchronous"
    if job["role"] == "feed":
        feed(config, count)
    elif job["role"] == "publish one by one":
        if asynchronous:
            asyncio.run(publish_asynchronously(config, count))
        else:
            publish_blocking(config, count)
    elif asynchronous:
        asyncio.run(read_asynchronously(config, count))
    else:
        read_blocking(config, count)


def main() -> None:
    """Do the job of the command line, or run all jobs and print the table."""
    if len(sys.argv) > 1:
        work(json.loads(sys.argv[1]))
        return
    with LocalServer() as server:
        print(formatted(contest(server.url, rounds=5, scale=0.5, log=print)))


if __name__ == "__main__":
    main()
