"""The ``fastcoord`` command as a process that has ended."""

import subprocess
import sys
from pathlib import Path


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
    """Run ``fastcoord bench``."""
    return finished("bench", *words)


def tune(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``fastcoord tune``."""
    return finished("tune", *words, cwd=cwd)
