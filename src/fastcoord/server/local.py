"""One local nats-server process."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastcoord.errors import ServerError
from fastcoord.server import signals
from fastcoord.server.monitoring import read_page
from fastcoord.server.ports import reserve
from fastcoord.server.process import find_server_binary, spawn
from fastcoord.server.settings import Membership, ServerSettings, ServerTls, bracketed
from fastcoord.server.temporary import TemporaryDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["LocalServer"]

POLL_INTERVAL = 0.005
"""Seconds between two checks of a condition that the server does not announce."""

LOG_LINES_IN_ERRORS = 8


class LocalServer:
    """Run a nats-server on a port that it picks itself.

    Use it with ``with`` or ``async with``: both stop the server and remove its directory. The
    methods are synchronous and block a running event loop for some milliseconds.

    :param binary: the nats-server to start; see :func:`find_server_binary`.
    :param host: the address to listen on.
    :param port: the port for clients; ``None`` or 0 lets the server pick a free one, which it keeps
        when it is restarted.
    :param name: the name of the server; by default the server picks a random one.
    :param users: passwords by user name; if empty, no authentication is needed.
    :param tls: certificates; ``None`` for connections without TLS.
    :param jetstream: whether to enable JetStream. Its files are in the private directory: they
        outlast :meth:`kill` and :meth:`restart`, and :meth:`stop` removes them.
    :param max_file_storage: the most bytes that all streams may store in files; ``None`` lets the
        server decide.
    :param max_memory_storage: the most bytes that all streams may store in memory; ``None`` lets
        the server decide.
    :param max_payload: the largest message in bytes; the server's default is 1 MiB.
    :param extra_config: text in the configuration language of nats-server, for all other settings.
    :param start_timeout: seconds within which the server must be ready.
    :param membership: set by :class:`LocalCluster`.
    :raises ServerNotFound: there is no such binary.
    """

    def __init__(
        self,
        *,
        binary: str | os.PathLike[str] | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        name: str | None = None,
        users: Mapping[str, str] | None = None,
        tls: ServerTls | None = None,
        jetstream: bool = False,
        max_file_storage: int | None = None,
        max_memory_storage: int | None = None,
        max_payload: int | None = None,
        extra_config: str = "",
        start_timeout: float = 10.0,
        membership: Membership | None = None,
    ) -> None:
        self.binary = find_server_binary(binary)
        self.settings = ServerSettings(
            host=host,
            port=port or None,  # nats-server would use its default port for 0
            name=name,
            users=users or {},
            tls=tls,
            jetstream=jetstream,
            max_file_storage=max_file_storage,
            max_memory_storage=max_memory_storage,
            max_payload=max_payload,
            extra_config=extra_config,
            membership=membership,
        )
        self.start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._temporary: TemporaryDirectory | None = None
        self._monitor_port: int | None = None
        self._earlier_log = ""
        self._reserved: list[socket.socket] = []
        """Keep the ports of a server that does not run, so that it gets them again."""

    def __repr__(self) -> str:
        state = f"pid={self.pid} {self.url}" if self.is_running else "not running"
        return f"<{type(self).__name__} {state}>"

    # State

    @property
    def is_running(self) -> bool:
        """Whether the process exists, even if it is frozen."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id.

        :raises ServerError: the server is not running.
        """
        return self._running().pid

    @property
    def host(self) -> str:
        """The address that clients connect to."""
        return self.settings.host

    @property
    def port(self) -> int:
        """The port for clients. It stays the same while the server is down and after a restart.

        :raises ServerError: before the first start, unless a port was given.
        """
        if self.settings.port is None:
            raise ServerError("the server has not picked a port yet: start it first")
        return self.settings.port

    @property
    def url(self) -> str:
        """The URL for clients, with ``tls://`` if the server requires TLS."""
        tls = self.settings.tls
        scheme = "nats" if tls is None or tls.allow_non_tls else "tls"
        return f"{scheme}://{bracketed(self.host)}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """The root URL of the server's HTTP monitoring.

        :raises ServerError: before the first start.
        """
        if self._monitor_port is None:
            raise ServerError("the server has not picked a monitoring port yet: start it first")
        return f"http://{bracketed(self.host)}:{self._monitor_port}"

    @property
    def log(self) -> str:
        """The output of the server since its first start."""
        if self._directory is None:
            return self._earlier_log
        with contextlib.suppress(FileNotFoundError):
            text = self._log_file.read_text(encoding="utf-8", errors="replace")
            return self._earlier_log + text
        return self._earlier_log

    def monitor(self, path: str, **query: Any) -> dict[str, Any]:
        """Read one page of the HTTP monitoring.

        :param path: the page, for example ``varz``.
        :param query: the parameters of the page, for example ``subs=1``.
        :return: the page.
        :raises ServerError: the server does not answer within five seconds.
        """
        return read_page(self.monitor_url, path, query)

    def varz(self) -> dict[str, Any]:
        """Read the server's counters and settings, such as ``in_msgs`` and ``max_payload``."""
        return self.monitor("varz")

    def connz(self, **query: Any) -> dict[str, Any]:
        """Read the connections of the server: ``num_connections`` and ``connections``."""
        return self.monitor("connz", **query)

    # Starting

    def start(self) -> None:
        """Start the server and wait until it accepts clients.

        :raises ServerError: the server is running already, ends by itself, or is not ready in
            time, or another process started it and this one is its fork. The message ends with
            the last lines of the log.
        """
        with self._starting() as is_ready:
            while not is_ready():
                time.sleep(POLL_INTERVAL)

    async def start_async(self) -> None:
        """Do the same as :meth:`start` without blocking the event loop.

        :raises ServerError: as :meth:`start`.
        """
        with self._starting() as is_ready:
            while not is_ready():  # noqa: ASYNC110 - the server does not announce it
                await asyncio.sleep(POLL_INTERVAL)

    @contextlib.contextmanager
    def _starting(self) -> Iterator[Callable[[], bool]]:
        if self.is_running:
            raise ServerError(f"the server is running already, with pid {self.pid}")
        if self._directory is not None and self._owner != os.getpid():
            raise ServerError("this process is a fork of the one that started the server")
        deadline = time.monotonic() + self.start_timeout
        try:
            self._launch()
            yield lambda: self._is_ready(deadline)
        except OSError as error:  # for example a full disk
            self.stop()
            raise ServerError(f"the server cannot be started: {error}") from error
        except BaseException:
            self.stop()
            raise

    def _launch(self) -> None:
        if self._temporary is None:
            self._temporary = TemporaryDirectory("fastcoord-server-")
        for stale in self._temporary.path.glob("*.ports"):
            stale.unlink()
        config = self._write_config()
        self._owner = os.getpid()
        _started.add(self)
        command = [str(self.binary), "-c", str(config)]
        self._process = spawn(command, output=self._log_file, inherited=self._temporary.lock)

    def _write_config(self) -> Path:
        assert self._directory is not None
        config = self._directory / "server.conf"
        config.touch(mode=0o600)  # it may contain passwords
        config.write_text(self.settings.render(self._directory), encoding="utf-8")
        return config

    def _is_ready(self, deadline: float) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise ServerError(f"nats-server ended with exit code {code}{self._last_log_lines()}")
        if self._read_ports():
            self._release_ports()
            return True
        if time.monotonic() > deadline:
            raise ServerError(
                f"nats-server was not ready within {self.start_timeout:g} seconds"
                f"{self._last_log_lines()}"
            )
        return False

    def _read_ports(self) -> bool:
        assert self._directory is not None
        for file in self._directory.glob("*.ports"):
            try:
                ports = json.loads(file.read_bytes())
            except ValueError:  # the file is not complete yet
                return False
            self.settings.port = urlsplit(ports["nats"][0]).port
            self._monitor_port = urlsplit(ports["monitoring"][0]).port
            if self.settings.membership is not None:
                self.settings.membership.port = urlsplit(ports["cluster"][0]).port
            return True
        return False

    # Stopping and faults

    def stop(self, *, timeout: float = 5.0) -> None:
        """Stop the server and remove its directory; do nothing if it is stopped already.

        :param timeout: seconds until a server that does not end is killed.
        """
        if self._owner != os.getpid():
            return  # this process is a fork of the one that started the server
        self._end_process(timeout)
        self._release_ports()
        if self._temporary is not None:
            self._earlier_log = self.log
            self._temporary.remove()
            self._temporary = None
        _started.discard(self)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reserve_ports()

    def restart(self) -> None:
        """Start the server again on the same port with the same configuration.

        A running server is stopped first.

        :raises ServerError: as :meth:`start`.
        """
        self._end_process(timeout=5.0)
        self.start()

    def freeze(self) -> None:
        """Suspend the process: its connections stay open, but it reads and answers nothing.

        On Windows, this, :meth:`thaw`, :meth:`lame_duck` and :meth:`reload` raise ``ServerError``.
        """
        signals.freeze(self._running())

    def thaw(self) -> None:
        """Resume a frozen server."""
        signals.thaw(self._running())

    def lame_duck(self) -> None:
        """Make the server enter lame duck mode: it closes its connections gradually and ends."""
        signals.enter_lame_duck(self._running())

    def reload(
        self, *, users: Mapping[str, str] | None = None, extra_config: str | None = None
    ) -> None:
        """Make the running server reload its configuration.

        :param users: new passwords by user name; ``None`` keeps the current ones.
        :param extra_config: new extra text; ``None`` keeps the current one.
        :raises ServerError: the server refuses the configuration, and keeps the current one.
        """
        process = self._running()
        current = self.settings
        self.settings = replace(
            current,
            users=current.users if users is None else users,
            extra_config=current.extra_config if extra_config is None else extra_config,
        )
        self._write_config()
        try:
            self._reload(process)
        except BaseException:
            self.settings = current
            self._write_config()
            raise

    def _reload(self, process: subprocess.Popen[bytes]) -> None:
        seen = len(self.log)
        signals.reload(process)
        deadline = time.monotonic() + self.start_timeout
        while "Reloaded server configuration" not in (news := self.log[seen:]):
            # Other errors, such as a refused publish, may be logged at the same time.
            if "Failed to reload" in news or time.monotonic() > deadline or not self.is_running:
                raise ServerError(
                    f"nats-server did not reload its configuration{self._last_log_lines()}"
                )
            time.sleep(POLL_INTERVAL)

    def _end_process(self, timeout: float) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            signals.terminate(process)
            process.wait(timeout)
            self._reserve_ports()
        except subprocess.TimeoutExpired:
            self.kill()
        except BaseException:  # Ctrl-C while waiting
            self.kill()
            raise

    def _reserve_ports(self) -> None:
        # Other systems would refuse a reserved port to the server as well.
        if self._reserved or sys.platform != "linux":
            return
        membership = self.settings.membership
        for port in (self.settings.port, membership.port if membership else None):
            if port is not None:
                # If another process has taken the port meanwhile, the next start reports it.
                with contextlib.suppress(OSError):
                    self._reserved.append(reserve(self.host, port))

    def _release_ports(self) -> None:
        while self._reserved:
            self._reserved.pop().close()

    # Context managers

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await self.start_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # Helpers

    @property
    def _directory(self) -> Path | None:
        return None if self._temporary is None else self._temporary.path

    @property
    def _log_file(self) -> Path:
        assert self._directory is not None
        return self._directory / "server.log"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerError("the server is not running")
        return self._process

    def _last_log_lines(self) -> str:
        lines = [line for line in self.log.splitlines() if line.strip()]
        return "".join(f"\n  {line}" for line in lines[-LOG_LINES_IN_ERRORS:])


_started: set[LocalServer] = set()


@atexit.register
def _stop_all() -> None:
    for server in list(_started):
        server.stop()
