"""The soak: several nodes, hours of trouble in minutes, and the books at the end.

``make soak`` runs it for ``SOAK_SECONDS`` (600 by default). Four nodes in processes of their own
publish and receive; visitors connect, close and are killed; the server is killed and
frozen, processes are paused, consumers stall. It fails when an event was lost in silence, given
twice or out of order, when a node's numbers do not add up, or when a process grows.
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
from soak.report import Book, is_even, table, violations
from support.cluster.nodes import node_toml
from support.processes.node_process import NodeProcess, node_process
from support.wait import until

RESIDENTS = 4
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
    """Note each node's memory now and then."""
    while not over.is_set():
        await asyncio.wait([asyncio.ensure_future(over.wait())], timeout=pause)
        for node in nodes:
            book = await node.book()
            sizes[book["node"]].append(book["rss"])


async def soak(seconds: float, seed: int) -> int:
    """Run it.

    :return: how many things were not as they must be.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(LocalServer())
            config = Path(directory) / "node.toml"
            config.write_text(node_toml(server, cluster=CLUSTER, **SETTINGS), encoding="utf-8")
            residents = [
                await stack.enter_async_context(node_process(config, number + 1, burst=BURST))
                for number in range(RESIDENTS)
            ]
            faults = Faults(server, residents, config, random.Random(seed), burst=BURST)
            sizes: dict[int, list[int]] = {number + 1: [] for number in range(RESIDENTS)}
            over = asyncio.Event()
            sampling = asyncio.create_task(sample(residents, sizes, seconds / SAMPLES, over))
            try:
                await faults.rage(seconds)
            finally:
                over.set()
                await sampling
            await faults.farewell()
            books = await settle(residents)
    found = violations(books, faults.visits, sizes)
    elapsed = time.monotonic() - started
    print(f"soak of {elapsed:.0f} s, seed {seed}: {dict(faults.done)}")
    print(table(books, sizes))
    print("\n".join(f"VIOLATION: {each}" for each in found) or "everything is accounted for")
    return len(found)


async def settle(residents: list[NodeProcess]) -> list[Book]:
    """End the publishing, wait until the books are even, and take them."""
    for resident in residents:
        await resident.send("stop")
    books: list[Book] = []

    async def even() -> bool:
        books[:] = [await resident.book() for resident in residents]
        return is_even(books)

    try:
        await until(even, timeout=SETTLING)
    except AssertionError:
        return books
    return [await resident.end() for resident in residents]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    return 1 if asyncio.run(soak(arguments.seconds, arguments.seed)) else 0


if __name__ == "__main__":
    sys.exit(main())
