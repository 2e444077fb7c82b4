"""The ``fastcoord`` command in a process that is forked from one with all imports.

A new interpreter would take a second to start. So each test process has one server of forks.
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["fastcoord.cli", "fastcoord.cli.stream", "support.processes"])
LIMIT = 240.0


async def run_command(*words: str) -> tuple[int, str, str]:
    """Run a command; return its exit status, standard output and standard error."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("out", "err")]
        process = CONTEXT.Process(target=run, args=(words, files))
        process.start()
        try:
            await asyncio.to_thread(process.join, LIMIT)
            assert process.exitcode is not None, f"{words} did not end"
            out, err = (file.read_text("utf-8") for file in files)
            return process.exitcode, out, err
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
