"""A process that forks while a node is in use; child and parent both call the node.

Run as ``python forking_process.py CONFIG LOOP ENDING``. The child ends as ENDING says: ``exit``
(``os._exit``), ``collect`` (after a garbage collection without references to the node) or
``unwind`` (``SystemExit`` through ``async with`` and the event loop). Prints one JSON object: the
exceptions that the child got, its exit status, how many seconds later a thread of the parent has
woken its loop, and the parent's statistics.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fastcoord
from fastcoord import EmailPush, Node
from support.loops import runner

EVENTS = 3000


def outcome(call: Callable[[], Any]) -> str:
    """Call, run a coroutine to its first step, and return the exception as text."""
    try:
        result = call()
        if isinstance(result, Coroutine):
            result.send(None)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return f"{type(error).__name__}: {error}"
    return "no exception"


def end_of(child: int) -> tuple[int, float]:
    """Wait for a child; return its status and the time of its end."""
    _, status = os.waitpid(child, 0)
    return status, time.monotonic()


def calls(node: Node) -> dict[str, str]:
    """Make every call on a node."""
    event = EmailPush(9, 9, 9)
    return {
        "publish": outcome(lambda: node.publish(event)),
        "publish_many": outcome(lambda: node.publish_many([event])),
        "publish_nowait": outcome(lambda: node.publish_nowait(event)),
        "flush": outcome(node.flush),
        "subscribe": outcome(node.subscribe),
        "stats": outcome(node.stats),
        "peers": outcome(node.peers),
        "ping": outcome(lambda: node.ping(2)),
        "close": outcome(node.close),
    }


async def run(config: str, ending: str) -> dict[str, Any]:
    """Publish before and after a fork."""
    reading, writing = os.pipe()
    async with fastcoord.connect(config, node_id=1) as node:
        await node.publish_many([EmailPush(1, each, 0) for each in range(EVENTS)])
        child = os.fork()
        if child == 0:
            os.write(writing, json.dumps(calls(node)).encode())
            if ending == "unwind":
                raise SystemExit(7)
            if ending == "collect":
                del node
                gc.collect()
            os._exit(7)
        await node.publish_many([EmailPush(1, EVENTS + each, 0) for each in range(EVENTS)])
        status, ended_at = await asyncio.to_thread(end_of, child)
        woken_after = time.monotonic() - ended_at
        # The child has ended: its descriptors are closed now.
        deadline = time.monotonic() + 0.5
        number = 2 * EVENTS
        while time.monotonic() < deadline:
            await node.publish(EmailPush(1, number, 0))
            number += 1
            await asyncio.sleep(0.01)
        await node.flush()
        stats = node.stats()
        os.close(writing)
        return {
            "child": json.loads(os.read(reading, 65536)),
            "status": os.waitstatus_to_exitcode(status),
            "woken_after": woken_after,
            "published": number,
            "confirmed": stats.confirmed,
            "reconnects": stats.reconnects,
        }


def main() -> None:
    config, loop, ending = sys.argv[1:]
    print(json.dumps(runner(loop)(run(config, ending))))


if __name__ == "__main__":
    main()
