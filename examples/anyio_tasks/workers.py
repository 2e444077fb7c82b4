"""Node and subscription in an anyio task group, with a timeout.

    FASTCOORD_SERVERS=nats://127.0.0.1:4222 python workers.py 1 5

Each instance announces itself once a second and counts the others. It ends after the given seconds.
anyio must run on asyncio: fastcoord does not support Trio.
"""

import sys

import anyio
import msgspec
from anyio.abc import TaskStatus

import fastcoord
from fastcoord import Missed, Node


@fastcoord.event(kind=1)
class HereIAm(msgspec.Struct, frozen=True):
    node_id: int


async def announce(node: Node) -> None:
    while True:
        await node.publish(HereIAm(node.node_id))
        await anyio.sleep(1.0)


async def count(node: Node, seen: set[int], *, task_status: TaskStatus[None]) -> None:
    async with node.subscribe() as events:
        # Nothing that is published from now on is missed without notice.
        task_status.started()
        async for event in events:
            match event:
                case HereIAm(node_id=node_id):
                    seen.add(node_id)
                case Missed():
                    print("some announcements are missing", flush=True)


async def main(node_id: int, seconds: float) -> None:
    seen: set[int] = set()
    async with fastcoord.connect(node_id=node_id, protocol="fastcoord-1") as node:
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                await tasks.start(count, node, seen)
                tasks.start_soon(announce, node)
    print("seen:", *sorted(seen), flush=True)


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]), float(sys.argv[2]), backend="asyncio")
