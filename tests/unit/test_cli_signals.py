"""Signals that end a command, also while it imports its modules."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastcoord._early_interrupt import is_command
from fastcoord.cli.running import run_until_interrupted

SCRIPT = str(Path(sys.executable).with_name("fastcoord"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_lets_command_clean_up(number: int, code: int) -> None:
    cleaned = []

    async def command() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)
        return 0

    assert run_until_interrupted(command()) == code
    assert cleaned


def test_signal_handlers_end_with_command() -> None:
    handlers = []

    async def lines() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            # asyncio ends this generator when the command has returned.
            handlers.extend(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))

    async def main() -> int:
        return await anext(unfinished)

    unfinished = lines()
    assert run_until_interrupted(main()) == 1
    assert handlers == [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]


def test_nohup_ignores_closed_terminal() -> None:
    async def command() -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return 0

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_until_interrupted(command()) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        ("-m", "python -m fastcoord listen", True),
        ("-m", "python -X dev -W error -Im fastcoord", True),
        ("-m", "python -Wmodule -mfastcoord", True),
        ("-m", "python -m app -m fastcoord", False),
        ("-m", "python -m fastcoord.cli.demo.node", False),
        ("/bin/fastcoord", "python /bin/fastcoord listen", True),
        ("/bin/fastcoord", "python -c import_multiprocessing", False),
        ("/bin/app", "python /bin/app fastcoord", False),
        ("-c", "python -c code", False),
        ("", "python", False),
    ],
)
def test_early_interrupt_knows_command(program: str, line: str, expected: bool) -> None:
    assert is_command(program, line.split()) is expected


@pytest.mark.parametrize("module", ["_early_interrupt", "_codec", "cli.arguments", "config"])
@pytest.mark.parametrize("script", [(SCRIPT,), ("-m", "fastcoord")], ids=["script", "module"])
def test_interrupted_import_prints_nothing(module: str, script: tuple[str, ...]) -> None:
    # Python prints the name of each module that it has imported.
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *script, "decode"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if line.rstrip().endswith(f" fastcoord.{module}"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
