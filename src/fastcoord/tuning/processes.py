"""Start the processes of a run, and exchange lines with them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from fastcoord.tuning.job import Go, Job, Progress, Reply, Sent, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WorkerProcess"]

ERROR_LINES = 400
"""How many characters of the standard error of a process are kept for a message."""


class WorkerProcess:
    """One process of a run.

    :param job: its job.
    :param on_progress: called after each report.

    :ivar ready: is set when the process is connected, or has ended.
    :ivar done: is set when the process has sent its result, or has ended.
    """

    def __init__(self, job: Job, on_progress: Callable[[], None]) -> None:
        self.job = job
        self.progress = Progress(events=0)
        self.reply: Reply | None = None
        self.failure: str | None = None
        self.ready = asyncio.Event()
        self.done = asyncio.Event()
        self._on_progress = on_progress
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and send it its job."""
        # Own session: Ctrl-C in the terminal reaches only the command, which ends the run.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fastcoord.tuning.worker",
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **_environment(self.job.load.loop)},
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        self._write(msgspec.json.encode(self.job))

    def go(self, start: int) -> None:
        """Tell the process when the load starts."""
        self._write(msgspec.json.encode(Go(start)))

    def sent(self, events: int) -> None:
        """Tell the process how many events there are."""
        self._write(msgspec.json.encode(Sent(events)))

    def stop(self) -> None:
        """Tell the process to end."""
        self._write(msgspec.json.encode(Stop()))

    async def end(self, timeout: float) -> None:
        """End the process; kill it after ``timeout`` seconds."""
        if self._process is None or self._reading is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait({self._reading}, timeout=timeout)
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._reading

    def _write(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.returncode is None and not self._process.stdin.is_closing():
            self._process.stdin.write(line + b"\n")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        while line := await process.stdout.readline():
            reply = msgspec.json.decode(line, type=Reply)
            if reply.ready:
                self.ready.set()
            elif reply.progress is not None:
                self.progress = reply.progress
                self._on_progress()
            elif reply.failed is not None:
                self.failure = reply.failed
            else:
                self.reply = reply
                self.done.set()
        code = await process.wait()
        text = (await errors).decode(errors="replace").strip()
        if self.reply is None and self.failure is None:
            last = text[-ERROR_LINES:].splitlines()[-1:] or [f"exit code {code}"]
            self.failure = f"the process ended: {last[0]}"
        self.ready.set()
        self.done.set()


def _environment(loop: str) -> dict[str, str]:
    """Return the environment variables of a process: it imports the same modules as this one.

    Without them, ``python -m`` would first look for modules in the working directory.
    """
    path = os.pathsep.join(os.path.abspath(each) for each in sys.path)
    return {"FASTCOORD_BENCH_LOOP": loop, "PYTHONSAFEPATH": "1", "PYTHONPATH": path}
