"""A process that plays a Stalwart node.

Run as ``python stalwart_process.py URL PROTOCOL SUBJECT``. Each line of standard input is a JSON
object: the payloads to publish, if any. The answer is one line with what was received so far.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from support.cluster.stalwart_player import StalwartPlayer

TICK = 0.002


class Lag:
    """How late the event loop has called a timer, at most, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._begin()

    def _begin(self) -> None:
        self._due = self._loop.time() + TICK
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self.longest = max(self.longest, self._loop.time() - self._due)
        self._begin()


async def play(output: TextIO, url: str, protocol: str, subject: str) -> None:
    async with StalwartPlayer(url, protocol=protocol, subject=subject) as player:
        lag = Lag()
        while line := await asyncio.to_thread(sys.stdin.readline):
            payloads = json.loads(line).get("publish")
            if payloads is not None:
                await player.publish(*map(bytes.fromhex, payloads))
            await player.subscribed()
            report = {
                "events": player.events,
                "dropped": player.dropped,
                "lag": lag.longest,
                "payloads": [] if payloads is not None else [p.hex() for p in player.payloads],
            }
            print(json.dumps(report), file=output, flush=True)


if __name__ == "__main__":
    # With PYTHONUNBUFFERED, `print` loses the rest of a long line if a signal interrupts its write.
    with open(1, "w", encoding="utf-8", closefd=False) as stdout:
        asyncio.run(play(stdout, *sys.argv[1:]))
