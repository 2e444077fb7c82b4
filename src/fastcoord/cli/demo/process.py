"""Start and control a node process of the demo."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

from fastcoord.cli.demo.messages import NodeReport, NodeTask, Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["NodeProcess"]

STOP_TIMEOUT = 5.0
"""Seconds until a node that does not leave is killed."""


class NodeProcess:
    """Start one node process, send it orders and keep its last report.

    :param task: the node's task.
    :param log: the file for the standard error of the process.
    :param on_change: called after each report and when the process has ended.
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
            # The node has its own session, so that Ctrl-C in the terminal reaches only the demo.
            # The node leaves when its standard input is closed: by the demo, or by the kernel if
            # the demo dies.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "fastcoord.cli.demo.node",
                msgspec.json.encode(self._task).decode(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reading = asyncio.create_task(self._read(self._process))

    def order(self, order: Order) -> None:
        """Send the node an order."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def stop(self) -> None:
        """Make the node leave the cluster, and kill its process after a timeout."""
        if self._process is None or self._reading is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait({self._reading}, timeout=STOP_TIMEOUT)
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._reading

    def how_it_ended(self) -> str:
        """Describe how the process ended, with the last line of its log."""
        assert self.exit_code is not None
        if self.exit_code < 0:
            return f"killed by {signal.Signals(-self.exit_code).name}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = f": {lines[-1]}" if lines else ""
        return f"exit code {self.exit_code}{reason}"

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self.report = msgspec.json.decode(line, type=NodeReport)
            self._on_change()
        self.exit_code = await process.wait()
        self._on_change()
