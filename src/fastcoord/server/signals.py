"""Signals to a server, which only POSIX systems have."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from fastcoord.errors import ServerError

if TYPE_CHECKING:
    import subprocess

__all__ = ["enter_lame_duck", "freeze", "reload", "terminate", "thaw"]


def freeze(process: subprocess.Popen[bytes]) -> None:
    """Suspend a process, and wait until all its threads have stopped: one could still answer.

    :raises ServerError: this system has no such signal.
    """
    if sys.platform == "win32":
        raise _unsupported("freeze a server")
    process.send_signal(signal.SIGSTOP)
    if sys.platform == "darwin":
        os.waitpid(process.pid, os.WUNTRACED)
    else:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def thaw(process: subprocess.Popen[bytes]) -> None:
    """Resume a suspended process.

    :raises ServerError: this system has no such signal.
    """
    if sys.platform == "win32":
        raise _unsupported("freeze a server")
    process.send_signal(signal.SIGCONT)


def enter_lame_duck(process: subprocess.Popen[bytes]) -> None:
    """Make a server enter lame duck mode.

    :raises ServerError: this system has no such signal.
    """
    if sys.platform == "win32":
        raise _unsupported("make a server enter lame duck mode")
    process.send_signal(signal.SIGUSR2)


def reload(process: subprocess.Popen[bytes]) -> None:
    """Make a server reload its configuration.

    :raises ServerError: this system has no such signal.
    """
    if sys.platform == "win32":
        raise _unsupported("reload the configuration of a server")
    process.send_signal(signal.SIGHUP)


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, even if it is suspended. Windows ends it at once."""
    process.terminate()
    if sys.platform != "win32":
        process.send_signal(signal.SIGCONT)  # a suspended process handles no SIGTERM


def _unsupported(what: str) -> ServerError:
    return ServerError(f"Windows has no signal to {what}")
