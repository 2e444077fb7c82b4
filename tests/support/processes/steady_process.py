"""A node in a process of its own that publishes steadily, receives, and reports both.

Run as ``python steady_process.py CONFIG NODE_ID RUN BURST PAUSE LOOP``. It publishes BURST events
every PAUSE seconds; LOOP is ``asyncio`` or ``uvloop``. It reads commands from standard input, one a
line: ``stop`` ends publishing, ``stall`` ends receiving until ``resume``, ``report``
prints a report, ``end`` (or the end of input) ends the process. A report is one line of JSON; it is
printed after the start and at the end too.
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
from support.cluster.ledger import Record, numbered_event
from support.cluster.nodes import patiently_connected
from support.loops import runner


class SteadyNode:
    """One run of one node."""

    def __init__(self, node: fastcoord.Node, run: int, burst: int, pause: float) -> None:
        self.node = node
        self.run = run
        self.burst = burst
        self.pause = pause
        self.sent = 0
        self.stop = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.record = Record(from_the_start=False)

    async def follow(self, events: Any) -> None:
        async for item in events:
            self.record.take(item)
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
            await asyncio.sleep(self.pause)

    async def obey(self) -> None:
        """Execute the commands of standard input."""
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
            elif line == b"report\n":
                write(self.report())
        self.stop.set()
        self.flowing.set()

    def report(self) -> dict[str, Any]:
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
            "received": [
                {
                    "sender": sender,
                    "run": run,
                    "first": record.first,
                    "got": record.got,
                    "missed": dict(record.missed),
                    "place": record.place,
                    "faults": record.faults[:5],
                }
                for (sender, run), record in self.record.senders.items()
            ],
            "unknown": sum(self.record.unknown.values()),
        }


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def write(report: dict[str, Any]) -> None:
    print(json.dumps(report), flush=True)


async def live(config: str, node_id: int, run: int, burst: int, pause: float) -> None:
    async with await patiently_connected(fastcoord.load_config(config), node_id=node_id) as node:
        steady = SteadyNode(node, run, burst, pause)
        following = asyncio.create_task(steady.follow(node.subscribe(peers=True)))
        write(steady.report())
        producing = asyncio.create_task(steady.produce())
        await steady.obey()
        await producing
        await node.flush()
    await following
    write(steady.report())


def main() -> None:
    config, node_id, run, burst, pause, loop = sys.argv[1:]
    runner(loop)(live(config, int(node_id), int(run), int(burst), float(pause)))


if __name__ == "__main__":
    main()
