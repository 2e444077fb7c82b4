"""A process that joins a cluster, publishes, hears, and writes down what it heard.

Run as ``python exchanging_process.py CONFIG NODE_ID LOOP EXPECTED ROUNDS``. It writes
``ready`` when it would hear the others, waits for a line, publishes every sample of its protocol
``ROUNDS`` times, and ends when it has heard ``EXPECTED`` events. Its last line is one JSON object:
what it heard, and numbers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fastcoord
from support.inputs.samples import samples
from support.loops import runner


async def exchange(config: str, node_id: int, expected: int, rounds: int) -> dict[str, Any]:
    """Take part; the other nodes do the same."""
    heard: list[dict[str, Any]] = []
    async with fastcoord.connect(config, node_id=node_id) as node:
        events = node.subscribe()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        publishing = asyncio.create_task(publish(node, rounds))
        while len(heard) < expected:
            event = await events.__anext__()
            assert isinstance(event, fastcoord.Event), f"an unexpected notice: {event}"
            heard.append(fastcoord.to_builtins(event))
        await publishing
        stats = node.stats()
    return {
        "heard": heard,
        "accepted": stats.accepted,
        "confirmed": stats.confirmed,
        "missed": stats.missed,
    }


async def publish(node: fastcoord.Node, rounds: int) -> None:
    events = samples(node.config.cluster.protocol)
    for _ in range(rounds):
        await node.publish(*events)
    await node.flush()


def main() -> None:
    config, node_id, loop, expected, rounds = sys.argv[1:]
    taking_part = exchange(config, int(node_id), int(expected), int(rounds))
    print(json.dumps(runner(loop)(taking_part)))


if __name__ == "__main__":
    main()
