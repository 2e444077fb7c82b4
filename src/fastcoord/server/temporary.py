"""Temporary directories that outlive a killed process only until the next start."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fastcoord.server.file_lock import open_locked, try_lock

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["TemporaryDirectory"]

LOCK = "owner.lock"


class TemporaryDirectory:
    """A private directory. If this process is killed, a later one removes the directory.

    A lock on a file in the directory shows that it is in use. The kernel releases the lock when the
    process has ended, and the child processes that have inherited :attr:`lock`. Before it makes a
    directory, each process removes those of the same user and prefix whose lock is free.

    :param prefix: the first part of the name.

    :ivar path: the directory.
    :ivar lock: the descriptor of the locked file; -1 on Windows, where no later process removes the
        directory.
    """

    def __init__(self, prefix: str) -> None:
        parent = Path(tempfile.gettempdir())
        _remove_abandoned(parent, prefix)
        self.lock = -1
        self._is_removed = False
        # Its name is known before it exists, so that Ctrl-C at any moment leaves no directory.
        self.path = parent / f"{prefix}{secrets.token_hex(8)}"
        try:
            self.path.mkdir(0o700)
            self._hold()
        except FileExistsError:  # not the directory of this process
            raise
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def _hold(self) -> None:
        # The file has its name only after it is locked: others never see it without the lock.
        if sys.platform == "win32":
            return
        unlocked = self.path / f"{LOCK}.new"
        self.lock = open_locked(unlocked, os.O_CREAT)
        with contextlib.suppress(OSError):  # a file system without locks: nobody removes it later
            try_lock(self.lock)
            unlocked.rename(self.path / LOCK)

    def remove(self) -> None:
        """Remove the directory; do nothing if it is removed already."""
        if not self._is_removed:
            _remove(self.path)
            if self.lock >= 0:
                # Ctrl-C between the two must not let the next call close it again.
                lock, self.lock = self.lock, -1
                os.close(lock)
            self._is_removed = True

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the directories of this user whose processes have ended."""
    if sys.platform == "win32":
        return
    for path in parent.glob(f"{prefix}*"):
        try:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            lock = open_locked(path / LOCK, os.O_NOFOLLOW)
        except OSError:  # it has no lock, or another process has just removed it
            continue
        try:
            try_lock(lock)
            _remove(path)
        except OSError:  # its process is running
            continue
        finally:
            os.close(lock)


def _remove(path: Path) -> None:
    """Remove a directory, its lock last: a removal that is killed can then be completed."""
    with contextlib.suppress(OSError):  # another process removes it
        for each in path.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each, ignore_errors=True)
            elif each.name != LOCK:
                each.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
