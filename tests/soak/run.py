"""The soak: nodes under faults, and a check of their reports at the end.

``make soak`` runs it for ``SOAK_SECONDS`` (600 by default). Four nodes in processes of their own
publish and receive all the time. Temporary nodes start, end and are killed; the server is killed
and frozen, processes are paused, consumers stall. The soak fails if an event was lost without a
notice, repeated or out of order, if the stats of a node do not add up, or if a process grows. With
``--stream`` it fails as well if an event of a permanent node is missing at another one.
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
from soak.report import Report, is_even, lost_in_stream, table, violations
from support.cluster.nodes import node_toml
from support.cluster.stream_crowd import STREAM, make_stream
from support.processes.node_process import NodeProcess, node_process
from support.wait import until

PERMANENT_NODES = 4
BURST = 5
PAUSE_PER_NODE = 0.002
"""Seconds between two bursts of a node, for each node of the cluster."""
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


async def soak(seconds: float, seed: int, *, nodes: int, is_stream: bool, loop: str) -> int:
    """Run the soak.

    :param nodes: how many nodes there are at most.
    :param is_stream: whether the nodes use a JetStream stream.
    :param loop: the event loop of the nodes, ``asyncio`` or ``uvloop``.
    :return: the number of violations.
    """
    options = {"burst": BURST, "pause": PAUSE_PER_NODE * nodes, "loop": loop}
    cluster = CLUSTER | ({"stream": STREAM} if is_stream else {})
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(LocalServer(jetstream=is_stream))
            if is_stream:
                await make_stream([server], subjects=["fastcoord.agora"])
            config = Path(directory) / "node.toml"
            config.write_text(node_toml(server, cluster=cluster, **SETTINGS), encoding="utf-8")
            permanent = [
                await stack.enter_async_context(node_process(config, number + 1, **options))
                for number in range(PERMANENT_NODES)
            ]
            source = random.Random(seed)
            temporary = nodes - PERMANENT_NODES
            faults = Faults(server, permanent, config, source, temporary=temporary, **options)
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
    if is_stream:
        found += lost_in_stream(reports)
    elapsed = time.monotonic() - started
    mode = "stream" if is_stream else "plain"
    print(
        f"soak of {elapsed:.0f} s, {nodes} nodes, {mode}, {loop}, seed {seed}: {dict(faults.done)}"
    )
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
    parser.add_argument("--nodes", type=int, default=6, help="at most; four run all the time")
    parser.add_argument("--stream", action="store_true", help="with a JetStream stream")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    arguments = parser.parse_args()
    running = soak(
        arguments.seconds,
        arguments.seed,
        nodes=arguments.nodes,
        is_stream=arguments.stream,
        loop=arguments.loop,
    )
    return 1 if asyncio.run(running) else 0


if __name__ == "__main__":
    sys.exit(main())
