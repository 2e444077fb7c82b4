"""The ``fastcoord`` command in a process that is forked from one with all imports.

A new interpreter would take a second to start. So each test process has one server of forks.
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, NoReturn

CONTEXT = multiprocessing.get_context("forkserver")
COMMANDS = ("check", "listen", "peers", "publish", "stream")
CONTEXT.set_forkserver_preload(
    ["fastcoord._connect", *(f"fastcoord.cli.{name}" for name in COMMANDS), "support.processes"]
)
LIMIT = 240.0


class Ended(NamedTuple):
    """The exit status of a command, its standard output and its standard error."""

    code: int
    out: str
    err: str


async def run_command(*words: str) -> Ended:
    """Run a command until it ends."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("out", "err")]
        process = CONTEXT.Process(target=run, args=(words, files))
        process.start()
        try:
            await asyncio.to_thread(process.join, LIMIT)
            assert process.exitcode is not None, f"{words} did not end"
            out, err = (file.read_text("utf-8") for file in files)
            return Ended(process.exitcode, out, err)
        finally:
            process.kill()
            process.join()
            process.close()


def run(words: tuple[str, ...], files: list[Path]) -> NoReturn:
    """Run a command in the forked process."""
    from fastcoord.cli import main

    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.exit(main(words))
