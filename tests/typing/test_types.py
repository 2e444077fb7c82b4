"""What type checkers infer for a program that uses everything public."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastcoord
from fastcoord.wire.table import KINDS

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("everything.py")
EXPECTED = re.compile(r"reveal_type\(.*\)  # (.*)$")
MYPY_NOTE = re.compile(r":(\d+): note: Revealed type is \"(.*)\"$", re.MULTILINE)
PYRIGHT_NOTE = re.compile(r":(\d+):\d+ - information: Type of \".*\" is \"(.*)\"$", re.MULTILINE)


def expected() -> dict[int, str]:
    lines = enumerate(PROGRAM.read_text("utf-8").splitlines(), 1)
    return {number: found[1] for number, line in lines if (found := EXPECTED.search(line))}


def without_modules(notes: list[tuple[str, str]]) -> dict[int, str]:
    return {int(line): re.sub(r"\b(?:\w+\.)+(?=\w)", "", name) for line, name in notes}


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy_infers_every_type() -> None:
    notes = MYPY_NOTE.findall(run("mypy", "--strict", "--no-error-summary", str(PROGRAM)))
    assert without_modules(notes) == expected()


def test_pyright_infers_every_type() -> None:
    pytest.importorskip("pyright")
    settings = str(PROGRAM.with_name("pyrightconfig.json"))
    notes = PYRIGHT_NOTE.findall(
        run("pyright", "--project", settings, "--pythonpath", sys.executable)
    )
    assert without_modules(notes) == expected()


def test_the_program_uses_every_public_name() -> None:
    used = set(re.findall(r"\w+", PROGRAM.read_text("utf-8")))
    # A new event class is like those in the program: all stubs come from one table.
    events = {kind.name for kind in KINDS}
    assert sorted(set(fastcoord.__all__) - used - events) == []
