"""The ``fastcoord`` command as a process that has ended."""

import subprocess
import sys
from pathlib import Path

ATTEMPTS = 4
LATE = "could not keep up"
"""What makes a run invalid if other programs of a busy machine delay its publishers."""


def is_fine_or_late(status: int | None, errors: str) -> bool:
    """Return whether a run was valid, or invalid only because its publishers were late."""
    return status == 0 or (status == 3 and LATE in errors)


def finished(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    :param words: the arguments of ``fastcoord``.
    :param cwd: the working directory.
    """
    return subprocess.run(
        [sys.executable, "-m", "fastcoord", *words],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=cwd,
    )


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``fastcoord bench``, again if its publishers were late."""
    return in_time("bench", *words)


def tune(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``fastcoord tune``, again if the publishers of a run were late."""
    return in_time("tune", *words, cwd=cwd)


def in_time(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that measures, again if its publishers were late.

    :return: the last attempt.
    """
    for _ in range(ATTEMPTS):
        done = finished(*words, cwd=cwd)
        if done.returncode != 3 or LATE not in done.stderr:
            break
    return done
