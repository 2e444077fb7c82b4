"""A process that uses nodes in every way that may leak tasks, sockets or child processes.

Run as ``python -X dev -W error leaving_nothing.py CONFIG``. Prints one JSON object: the names of
leaked tasks, the number of leaked sockets, and the leaked child processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fastcoord
from fastcoord import ReloadBlockedIps
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.servers.unusable import open_sockets


async def use_nodes(directory: Path) -> None:
    """Connect, fail to connect, lose the server, cancel, and close a node that is busy."""
    with LocalServer() as server:
        config = directory / "node.toml"
        config.write_text(node_toml(server, cluster={"heartbeat": "100ms"}), encoding="utf-8")
        async with fastcoord.connect(config, node_id=1) as one:
            two = await fastcoord.connect(config, node_id=2)
            events = two.subscribe()
            listening = asyncio.create_task(count_events(events))
            unread = one.subscribe()
            abandoned = asyncio.create_task(count_events(unread))
            await one.publish(*[ReloadBlockedIps()] * 100)
            await one.ping(2)
            server.kill()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(one.flush(), 0.1)
            server.restart()
            await one.flush()
            await two.close()
            assert await listening == 100
            abandoned.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await abandoned
            unread.close()
            server.kill()
            one.publish_nowait(ReloadBlockedIps())
            assert await one.close(timeout=0.1) == 1
        with contextlib.suppress(fastcoord.ConnectError):
            await fastcoord.connect(config)


async def count_events(events: fastcoord.Subscription) -> int:
    return len([event async for event in events if isinstance(event, fastcoord.Event)])


def child_processes() -> list[str]:
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [pid for each in lists for pid in each.read_text().split()]


async def main() -> dict[str, Any]:
    """Use nodes and return what they leaked."""
    sockets = open_sockets()
    await use_nodes(Path(sys.argv[1]))
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect()
    own = asyncio.current_task()
    return {
        "tasks": [task.get_name() for task in asyncio.all_tasks() if task is not own],
        "sockets": open_sockets() - sockets,
        "children": child_processes(),
    }


if __name__ == "__main__":
    signal.alarm(240)
    # The loop's debug mode writes to standard error whenever the machine is busy.
    print(json.dumps(asyncio.run(main(), debug=False)))
