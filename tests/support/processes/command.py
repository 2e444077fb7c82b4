"""The ``fastcoord`` command as a process, and its output."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from support.processes.status import exists
from support.wait import until


class Command:
    """A running ``fastcoord`` command and its output so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = ""
        self.err = ""
        self._readers = [
            asyncio.create_task(self._read("out", process.stdout)),
            asyncio.create_task(self._read("err", process.stderr)),
        ]

    async def prints(self, text: str) -> None:
        await until(
            lambda: text in self.out + self.err or self.process.returncode is not None,
            because=f"the command prints {text!r}",
        )
        assert text in self.out + self.err, self.err

    async def wait(self) -> int:
        await asyncio.wait_for(asyncio.gather(*self._readers), 240)
        return await self.process.wait()

    def pids(self) -> list[int]:
        """The process ids that the demo has printed."""
        return [
            int(pid) for pid in re.findall(r"^(?:nats-server|node \d)  pid (\d+)", self.out, re.M)
        ]

    async def _read(self, name: str, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while chunk := await stream.read(4096):
            setattr(self, name, getattr(self, name) + chunk.decode())


@contextlib.asynccontextmanager
async def start(
    *words: str, directory: Path, stdin: int = subprocess.DEVNULL
) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fastcoord",
        *words,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(directory)},
    )
    command = Command(process)
    try:
        yield command
    finally:
        if process.returncode is None:
            process.kill()
        await command.wait()
        await until(lambda: not any(map(exists, command.pids())))
