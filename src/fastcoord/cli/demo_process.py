"""A node process as the demo sees it."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

from fastcoord.cli.demo_messages import NodeReport, NodeTask, Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["NodeProcess"]

TIME_TO_LEAVE = 5.0


class NodeProcess:
    """Start one node, give it orders, and know its last report.

    :param task: what the node is to do.
    :param log: the file for whatever it writes on standard error.
    :param on_change: called after each report, and when the process has ended.
    """

    def __init__(self, task: NodeTask, log: Path, on_change: Callable[[], None]) -> None:
        self.node_id = task.node_id
        self.report = NodeReport()
        self.exit_code: int | None = None
        self._task = task
        self._log = log
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process."""
        with self._log.open("wb") as log:
            # In a session of its own, Ctrl-C in the terminal reaches only the demo, which then
            # ends the nodes by closing their standard input. So does the kernel if the demo dies.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "fastcoord.cli.demo_node",
                msgspec.json.encode(self._task).decode(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reading = asyncio.create_task(self._read(self._process))

    def order(self, order: Order) -> None:
        """Tell the node what to do next."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def stop(self) -> None:
        """Let the node leave the bus, and kill it if it does not."""
        if self._process is None or self._reading is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait({self._reading}, timeout=TIME_TO_LEAVE)
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._reading

    def how_it_ended(self) -> str:
        """Say how the process ended, and why if it has said so."""
        assert self.exit_code is not None
        if self.exit_code < 0:
            return f"was ended by {signal.Signals(-self.exit_code).name}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = f": {lines[-1]}" if lines else ""
        return f"ended with exit code {self.exit_code}{reason}"

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self.report = msgspec.json.decode(line, type=NodeReport)
            self._on_change()
        self.exit_code = await process.wait()
        self._on_change()
