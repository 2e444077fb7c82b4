"""Start many workers with ``node-id = "auto"`` at once, and pass commands to them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("worker_process.py")
LIMIT = 600.0
"""Seconds until a worker is considered hung. On a busy machine, 64 of them start in minutes."""


class Worker:
    """One running ``worker_process.py``."""

    def __init__(self, process: asyncio.subprocess.Process, index: int) -> None:
        self.process = process
        self.index = index

    async def read(self) -> dict[str, Any]:
        """Wait for its next report."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), LIMIT)
        assert line, f"worker {self.index} ended (exit code {await self.process.wait()})"
        report: dict[str, Any] = json.loads(line)
        return report

    async def run(self, command: str, number: int) -> dict[str, Any]:
        """Pass a command to it, and wait for the report that follows."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command} {number}\n".encode())
        return await self.read()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


class Workers:
    """The workers of one test.

    :ivar all: those that run.
    """

    def __init__(self, config: Path, events: int, ids: int | None) -> None:
        self._options = (str(events), *([] if ids is None else [str(ids)]))
        self._config = config
        self._started = 0
        self.all: list[Worker] = []

    async def start(self, count: int) -> list[dict[str, Any]]:
        """Start workers at once, and return their first reports."""

        async def one(index: int) -> Worker:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(SCRIPT), str(self._config), str(index), *self._options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            worker = Worker(process, index)
            self.all.append(worker)
            return worker

        first = self._started + 1
        self._started += count
        added = await asyncio.gather(*(one(first + each) for each in range(count)))
        return list(await asyncio.gather(*(worker.read() for worker in added)))

    async def run(self, command: str, number: int) -> dict[int, dict[str, Any]]:
        """Pass a command to all workers, and return the report of each by its index."""
        reports = await asyncio.gather(*(each.run(command, number) for each in self.all))
        return {worker.index: report for worker, report in zip(self.all, reports, strict=True)}

    async def end(self) -> None:
        """Close the nodes of all workers, and wait for the end of their processes."""

        async def one(worker: Worker) -> int:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
            return await asyncio.wait_for(worker.process.wait(), LIMIT)

        codes = await asyncio.gather(*(one(worker) for worker in self.all))
        assert set(codes) <= {0}
        self.all.clear()


@asynccontextmanager
async def workers(config: Path, *, events: int, ids: int | None = None) -> AsyncIterator[Workers]:
    """Run workers, and kill those that still run at the end.

    :param config: the path of their configuration.
    :param events: how many events each of them publishes at a command.
    :param ids: draw ids among so few.
    """
    group = Workers(config, events, ids)
    try:
        yield group
    finally:
        for worker in group.all:
            if worker.process.returncode is None:
                await worker.kill()
