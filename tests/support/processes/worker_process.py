"""A worker with ``node-id = "auto"``, in a process of its own.

Run as ``python worker_process.py CONFIG INDEX EVENTS [IDS]``. It prints one line of JSON after each
step: its node id after the start, and what it has received after each command on standard input.
``peers N`` waits until N peers are up, and forgets all earlier notices. ``publish N`` publishes the
events and waits for those of N other workers. The end of input closes the node. With ``IDS``, ids
are drawn among so few.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fastcoord
from fastcoord.presence import own_id
from support.cluster.ledger import numbered_event
from support.cluster.nodes import patiently_connected
from support.processes.workers import LIMIT
from support.wait import until


async def main(config: str, index: int, events: int, ids: int | None) -> None:
    if ids is not None:
        own_id.HIGHEST = own_id.LOWEST + ids - 1
    received: dict[int, list[int]] = defaultdict(list)
    missed: list[str] = []
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with await patiently_connected(fastcoord.load_config(config), node_id="auto") as node:
        subscription = node.subscribe()

        async def follow() -> None:
            async for item in subscription:
                if isinstance(item, fastcoord.AppEvent):
                    received[item.kind].append(int.from_bytes(item.payload[4:], "big"))
                else:
                    missed.append(repr(item))

        following = asyncio.create_task(follow())

        def write() -> None:
            counts = {sender: len(numbers) for sender, numbers in received.items()}
            in_order = all(
                numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                for numbers in received.values()
            )
            report: dict[str, Any] = {"node_id": node.node_id, "counts": counts, "missed": missed}
            report["up"] = [peer.node_id for peer in node.peers() if peer.is_up]
            report["in_order"] = in_order
            report["duplicate_node_ids"] = node.stats().duplicate_node_ids
            print(json.dumps(report), flush=True)

        write()
        sent = 0
        while line := await reader.readline():
            command, number = line.split()
            if command == b"peers":
                up = int(number)
                await until(
                    lambda up=up: sum(bool(peer.is_up) for peer in node.peers()) == up,
                    timeout=LIMIT,
                )
                missed.clear()
            else:
                await node.publish(*(numbered_event(index, sent + each) for each in range(events)))
                sent += events
                others = int(number)
                await until(
                    lambda others=others: (
                        sum(len(each) for each in received.values()) >= others * events
                    ),
                    timeout=LIMIT,
                )
                await node.flush()
            write()
    await following


if __name__ == "__main__":
    _, config, index, events, *ids = sys.argv
    asyncio.run(main(config, int(index), int(events), int(ids[0]) if ids else None))
