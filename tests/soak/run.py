"""The soak: nodes under faults, and a check of their reports at the end.

``make soak`` runs it for ``SOAK_SECONDS`` (600 by default). Four nodes in processes of their own
publish and receive all the time. Temporary nodes start, end and are killed; the server is killed
and frozen, processes are paused, consumers stall. The soak fails if an event was lost without a
notice, repeated or out of order, if the stats of a node do not add up, or if a process grows.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fastcoord.server import LocalServer
from soak.faults import Faults
from soak.report import Report, is_even, table, violations
from support.cluster.nodes import node_toml
from support.processes.node_process import NodeProcess, node_process
from support.wait import until

PERMANENT_NODES = 4
BURST = 5
SAMPLES = 60
SETTLING = 60.0
"""Seconds after the last fault within which everything must be accounted for."""
SETTINGS = {
    "timeout": {"connection": "1s", "request": "10s"},
    "capacity": {"client": 256, "subscription": 400},
}
CLUSTER = {"protocol": "fastcoord-1", "heartbeat": "500ms", "max_age": "10s"}


async def sample(
    nodes: list[NodeProcess], sizes: dict[int, list[int]], pause: float, over: asyncio.Event
) -> None:
    """Record each node's memory periodically."""
    while not over.is_set():
        await asyncio.wait([asyncio.ensure_future(over.wait())], timeout=pause)
        for node in nodes:
            report = await node.report()
            sizes[report["node"]].append(report["rss"])


async def soak(seconds: float, seed: int) -> int:
    """Run the soak.

    :return: the number of violations.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(LocalServer())
            config = Path(directory) / "node.toml"
            config.write_text(node_toml(server, cluster=CLUSTER, **SETTINGS), encoding="utf-8")
            permanent = [
                await stack.enter_async_context(node_process(config, number + 1, burst=BURST))
                for number in range(PERMANENT_NODES)
            ]
            faults = Faults(server, permanent, config, random.Random(seed), burst=BURST)
            sizes: dict[int, list[int]] = {number + 1: [] for number in range(PERMANENT_NODES)}
            over = asyncio.Event()
            sampling = asyncio.create_task(sample(permanent, sizes, seconds / SAMPLES, over))
            try:
                await faults.run(seconds)
            finally:
                over.set()
                await sampling
            await faults.stop_temporary()
            reports = await settle(permanent)
    found = violations(reports, faults.ended, sizes)
    elapsed = time.monotonic() - started
    print(f"soak of {elapsed:.0f} s, seed {seed}: {dict(faults.done)}")
    print(table(reports, sizes))
    print("\n".join(f"VIOLATION: {each}" for each in found) or "everything is accounted for")
    return len(found)


async def settle(permanent: list[NodeProcess]) -> list[Report]:
    """Stop publishing, wait until everything is accounted for, and return the last reports."""
    for node in permanent:
        await node.send("stop")
    reports: list[Report] = []

    async def even() -> bool:
        reports[:] = [await node.report() for node in permanent]
        return is_even(reports)

    try:
        await until(even, timeout=SETTLING)
    except AssertionError:
        return reports
    return [await node.end() for node in permanent]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    return 1 if asyncio.run(soak(arguments.seconds, arguments.seed)) else 0


if __name__ == "__main__":
    sys.exit(main())
