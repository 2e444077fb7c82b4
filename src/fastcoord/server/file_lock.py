"""Locks on files, which end with the processes that have them open."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["open_locked", "try_lock"]


def open_locked(path: Path, flags: int) -> int:
    """Open a file that no other process inherits, and that is to be locked.

    :param flags: those of ``os.open``.
    :return: the descriptor.
    :raises OSError: the file cannot be opened, or this system has no such locks.
    """
    if sys.platform == "win32":
        # A lock of Windows ends with one process, and an open file cannot be renamed or removed.
        raise OSError("Windows has no locks that child processes inherit")
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)


def try_lock(descriptor: int) -> None:
    """Lock an open file without waiting.

    :raises BlockingIOError: another process has the lock.
    :raises OSError: the file system has no locks.
    """
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
