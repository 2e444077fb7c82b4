"""Start, query, stop and kill a node in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.wait import POLL_INTERVAL

SCRIPT = Path(__file__).with_name("steady_process.py")
REPORT_LIMIT = 16 * 1024 * 1024


class NodeProcess:
    """A running ``steady_process.py``.

    :ivar last: its last report.
    """

    def __init__(self, process: asyncio.subprocess.Process, first: dict[str, Any]) -> None:
        self.process = process
        self.last = first

    @classmethod
    async def start(
        cls,
        config: Path,
        node_id: int,
        *,
        run: int = 0,
        burst: int = 20,
        pause: float = POLL_INTERVAL,
        loop: str = "asyncio",
    ) -> NodeProcess:
        numbers = (node_id, run, burst, pause)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SCRIPT), str(config), *map(str, numbers), loop),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=REPORT_LIMIT,
        )
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert line, f"node {node_id} did not start (exit code {await process.wait()})"
        return cls(process, json.loads(line))

    async def send(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())
        await self.process.stdin.drain()

    async def report(self, *, timeout: float = 120.0) -> dict[str, Any]:
        """Request the current report."""
        await self.send("report")
        return await asyncio.wait_for(self.read(), timeout)

    async def read(self) -> dict[str, Any]:
        """Wait for the next report of the process."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, f"the process ended (exit code {await self.process.wait()})"
        self.last = json.loads(line)
        return self.last

    async def end(self, *, timeout: float = 120.0) -> dict[str, Any]:
        """Close its node, wait for its end, and return the final report."""
        await self.send("end")
        report = await asyncio.wait_for(self.read(), timeout)
        assert await asyncio.wait_for(self.process.wait(), timeout) == 0
        return report

    def freeze(self) -> None:
        """Suspend it, and wait until all of its threads have stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill it with SIGKILL; do nothing if it has ended."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


@asynccontextmanager
async def node_process(config: Path, node_id: int, **options: Any) -> AsyncIterator[NodeProcess]:
    """Run a node in a process of its own and kill it at the end if it still runs.

    :param options: those of :meth:`NodeProcess.start`.
    """
    node = await NodeProcess.start(config, node_id, **options)
    try:
        yield node
    finally:
        await node.kill()
