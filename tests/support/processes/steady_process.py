"""A node in a process of its own: it publishes steadily, follows everyone, and keeps its book.

Run as ``python steady_process.py CONFIG NODE_ID RUN BURST``. It ends when standard input does, or
when that says ``end``; ``stop`` ends its publishing only, ``stall`` its hearing until ``resume``.
It writes a JSON object a line: one when it has started, one for each line that says ``book``, and
one at its end.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fastcoord
from support.cluster.accounting import assert_sums
from support.cluster.ledger import Hearing, numbered_event
from support.wait import POLL_INTERVAL


class SteadyNode:
    """One run of one node."""

    def __init__(self, node: fastcoord.Node, run: int, burst: int) -> None:
        self.node = node
        self.run = run
        self.burst = burst
        self.sent = 0
        self.stop = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.hearing = Hearing(from_the_start=False)

    async def follow(self, events: Any) -> None:
        async for item in events:
            self.hearing.take(item)
            if not self.flowing.is_set():
                await self.flowing.wait()

    async def produce(self) -> None:
        while not self.stop.is_set():
            events = [
                numbered_event(self.node.node_id, self.sent + ahead, self.run)
                for ahead in range(self.burst)
            ]
            await self.node.publish_many(events)
            self.sent += self.burst
            await asyncio.sleep(POLL_INTERVAL)

    async def obey(self) -> None:
        """Do what standard input says."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while (line := await reader.readline()) not in (b"", b"end\n"):
            if line == b"stop\n":
                self.stop.set()
            elif line == b"stall\n":
                self.flowing.clear()
            elif line == b"resume\n":
                self.flowing.set()
            elif line == b"book\n":
                tell(self.book())
        self.stop.set()
        self.flowing.set()

    def book(self) -> dict[str, Any]:
        stats = self.node.stats()
        assert_sums(stats)
        return {
            "node": self.node.node_id,
            "run": self.run,
            "sent": self.sent,
            "accepted": stats.accepted,
            "waiting": stats.waiting,
            "discarded": stats.discarded,
            "reconnects": stats.reconnects,
            "overflow": sum(each.missed for each in stats.subscriptions),
            "rss": resident_bytes(),
            "cpu": resource.getrusage(resource.RUSAGE_SELF).ru_utime,
            "heard": [
                {
                    "sender": sender,
                    "run": run,
                    "first": line.first,
                    "got": line.got,
                    "missed": dict(line.missed),
                    "place": line.place,
                    "faults": line.faults[:5],
                }
                for (sender, run), line in self.hearing.lines.items()
            ],
            "unknown": sum(self.hearing.unknown.values()),
        }


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def tell(book: dict[str, Any]) -> None:
    print(json.dumps(book), flush=True)


async def live(config: str, node_id: int, run: int, burst: int) -> None:
    async with fastcoord.connect(config, node_id=node_id) as node:
        steady = SteadyNode(node, run, burst)
        following = asyncio.create_task(steady.follow(node.subscribe(peers=True)))
        tell(steady.book())
        producing = asyncio.create_task(steady.produce())
        await steady.obey()
        await producing
        await node.flush()
    await following
    tell(steady.book())


def main() -> None:
    config, *numbers = sys.argv[1:]
    node_id, run, burst = map(int, numbers)
    asyncio.run(live(config, node_id, run, burst))


if __name__ == "__main__":
    main()
