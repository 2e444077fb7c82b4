"""Run the programs in ``examples/`` as a user would."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path

from fastcoord.server import LocalServer

EXAMPLES = Path(__file__).parents[3] / "examples"
LIMIT = 120.0


class Program:
    """A running program.

    :ivar process: its process.
    :ivar printed: the lines that were read so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed: list[str] = []

    async def line(self, beginning: str = "") -> str:
        """Read lines until one begins so; return this line."""
        assert self.process.stdout is not None
        while True:
            line = (await asyncio.wait_for(self.process.stdout.readline(), LIMIT)).decode()
            assert line, f"the program ended without {beginning!r}: {self.printed}"
            self.printed.append(line.rstrip())
            if beginning in line:
                return self.printed[-1]

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        rest, _ = await asyncio.wait_for(self.process.communicate(), LIMIT)
        self.printed += (rest or b"").decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def example(
    name: str,
    *arguments: object,
    server: LocalServer,
    module: str | None = None,
    **variables: object,
) -> AsyncIterator[Program]:
    """Run an example; output and errors are read together.

    :param name: a script, such as ``anyio_tasks/workers.py``, or the folder in which ``module``
        runs.
    :param module: run this module with ``python -m`` instead of the script.
    :param variables: further environment variables.
    """
    path = EXAMPLES / name
    words = (("-m", module) if module else (path.name,), map(str, arguments))
    async with _running(
        *chain.from_iterable(words),
        folder=path if module else path.parent,
        FASTCOORD_SERVERS=server.url,
        **variables,
    ) as running:
        yield running


@asynccontextmanager
async def program(path: Path) -> AsyncIterator[Program]:
    """Run a script in its folder; output and errors are read together."""
    async with _running(path.name, folder=path.parent) as running:
        yield running


@asynccontextmanager
async def _running(*words: str, folder: Path, **variables: object) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", *words),
        cwd=folder,
        env={
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            **{key: str(value) for key, value in variables.items()},
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    program = Program(process)
    try:
        yield program
    except BaseException:
        print(*program.printed, sep="\n")
        raise
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
