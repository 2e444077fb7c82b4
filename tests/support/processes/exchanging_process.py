"""A process that joins a cluster, publishes, receives, and prints what it received.

Run as ``python exchanging_process.py CONFIG NODE_ID LOOP EXPECTED ROUNDS``. It prints ``ready``
when it is subscribed, waits for a line, publishes every sample of its protocol ``ROUNDS`` times,
and ends after ``EXPECTED`` received events. Its last line is one JSON object: the received events
and the node's numbers.
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
    """Publish and receive; the other nodes do the same."""
    received: list[dict[str, Any]] = []
    async with fastcoord.connect(config, node_id=node_id) as node:
        events = node.subscribe()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        publishing = asyncio.create_task(publish(node, rounds))
        while len(received) < expected:
            event = await events.__anext__()
            assert isinstance(event, fastcoord.Event), f"an unexpected notice: {event}"
            received.append(fastcoord.to_builtins(event))
        await publishing
        stats = node.stats()
    return {
        "received": received,
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
