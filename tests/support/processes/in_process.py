"""Run ``fastcoord`` commands in this process, which takes a hundredth of a new process's time."""

import contextlib
import io
import subprocess
import sys

from fastcoord.cli import main


def run(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command that neither connects nor reads standard input by its descriptor.

    :param text: what standard input has.
    """
    out, err = io.StringIO(), io.StringIO()
    stdin, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    finally:
        sys.stdin = stdin
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
