"""Temporary directories: those of processes that have ended are removed, and no others."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fastcoord.errors import ServerError
from fastcoord.server import LocalServer
from fastcoord.server.temporary import LOCK, TemporaryDirectory


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which all others are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def abandon() -> Path:
    """Make a directory with files, and end its process without removing it."""
    code = """
import os
from fastcoord.server.temporary import TemporaryDirectory
path = TemporaryDirectory("own-").path
(path / "below").mkdir()
(path / "below" / "file").touch()
print(path, flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
    )
    return Path(done.stdout.strip())


def test_abandoned_directory_is_removed(parent: Path) -> None:
    assert (abandon() / "below" / "file").exists()
    with TemporaryDirectory("own-") as path:
        assert list(parent.iterdir()) == [path]
    assert list(parent.iterdir()) == []


def test_used_directory_is_kept(parent: Path) -> None:
    with TemporaryDirectory("own-") as first, TemporaryDirectory("own-") as second:
        assert {first, second} == set(parent.iterdir())


def test_interrupted_start_leaves_no_directory(parent: Path) -> None:
    before = sys.gettrace()

    def interrupt_at(number: int) -> Any:
        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal number
            number -= event == "line"
            if event == "line" and number == 0:
                raise KeyboardInterrupt
            return trace

        return trace

    for number in range(1, 1000):
        sys.settrace(interrupt_at(number))
        try:
            directory = TemporaryDirectory("own-")
        except KeyboardInterrupt:
            directory = None
        finally:
            sys.settrace(before)
        if directory is not None:
            directory.remove()
            break
        assert list(parent.iterdir()) == [], number
    assert 10 < number < 999


def test_interrupted_removal_can_be_repeated(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = TemporaryDirectory("own-")
    close = os.close

    def close_and_interrupt(descriptor: int) -> None:
        close(descriptor)
        if descriptor == directory_lock:
            raise KeyboardInterrupt

    directory_lock = directory.lock
    monkeypatch.setattr(os, "close", close_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        directory.remove()
    monkeypatch.undo()
    directory.remove()
    assert not directory.path.exists()


def test_child_keeps_directory() -> None:
    first = TemporaryDirectory("own-")
    child = subprocess.Popen(["sleep", "60"], pass_fds=(first.lock,))
    os.close(first.lock)  # as the end of this process does
    try:
        with TemporaryDirectory("own-"):
            assert first.path.exists()
    finally:
        child.kill()
        child.wait()
    with TemporaryDirectory("own-"):
        assert not first.path.exists()


def test_other_directories_are_kept(parent: Path) -> None:
    (parent / "own-without-lock").mkdir()
    (parent / "other").mkdir()
    (parent / "other" / LOCK).touch()
    (parent / "own-symlink").symlink_to(parent / "other")
    (parent / "own-file").touch()
    (parent / "own-linked-lock").mkdir()
    (parent / "own-linked-lock" / LOCK).symlink_to(parent / "own-file")
    before = set(parent.iterdir())
    with TemporaryDirectory("own-"):
        pass
    assert set(parent.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_directory_of_other_user_is_kept() -> None:
    path = abandon()
    os.chown(path, 12345, -1)
    with TemporaryDirectory("own-"):
        assert path.exists()


def test_removal_leaves_link_targets(parent: Path) -> None:
    (parent / "target").mkdir()
    with TemporaryDirectory("own-") as path:
        (path / "symlink").symlink_to(parent / "target")
    assert (parent / "target").exists()


def test_missing_parent_is_named(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(parent / "nowhere"))
    server = LocalServer()
    with pytest.raises(ServerError, match=r"cannot be started: .*nowhere"):
        server.start()
