"""How a process of a run receives its orders and replies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fastcoord.tuning.job import Go, Reply, Sent, Stop

if TYPE_CHECKING:
    from array import array

__all__ = ["Orders", "say", "write_samples"]

Order = Go | Sent | Stop


def say(reply: Reply) -> None:
    """Print a line for the process that started this one."""
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


def write_samples(name: str, samples: array[int]) -> None:
    """Write pairs of event number and time to a file."""
    Path(name).write_bytes(samples.tobytes())


class Orders:
    """The lines on standard input.

    :ivar stopped: whether the run is to end now.
    :ivar stopping: is set when the run is to end.
    :ivar total: how many events the publishers have sent, as soon as it is known.
    """

    def __init__(self) -> None:
        self.start: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stopped = False
        self.stopping = asyncio.Event()
        self.total: int | None = None
        self._reader = asyncio.StreamReader(limit=1 << 20)
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> bytes:
        """Begin to read.

        :return: the first line, the job.
        """
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), sys.stdin.buffer
        )
        return await self._reader.readline()

    def follow(self) -> None:
        """Carry out the lines after the first one in a task."""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self._reader.readline():
            order: Order = msgspec.json.decode(line, type=Order)
            if isinstance(order, Go):
                self.start.set_result(order.start)
            elif isinstance(order, Sent):
                self.total = order.events
            else:
                self._stop()
        self._stop()  # the starting process has ended

    def _stop(self) -> None:
        self.stopped = True
        self.stopping.set()
        if not self.start.done():
            self.start.cancel()
