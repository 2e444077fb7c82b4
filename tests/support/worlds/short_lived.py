"""A node in a process of its own, which publishes some events and waits to be killed.

It connects when it reads a line, which says how many events to publish: starting a process takes
longer than some of the timeouts of the tests.
"""

import asyncio
import json
import sys

import fastcoord
from fastcoord import AppEvent


async def main(url: str, node_id: str, settings: str) -> None:
    connect = fastcoord.connect  # imports most of the package
    print("started", flush=True)
    events = await asyncio.to_thread(sys.stdin.readline)
    async with connect(url, node_id=int(node_id), **json.loads(settings)) as node:
        for _ in range(int(events)):
            await node.publish(AppEvent(1, b"short"))
            await node.flush()
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main(*sys.argv[1:]))
