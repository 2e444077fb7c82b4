"""One nats-server process under full control."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urlsplit

from fastcoord.errors import ServerError
from fastcoord.server.process import find_server_binary, spawn
from fastcoord.server.settings import Membership, ServerSettings, ServerTls, bracketed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["LocalServer"]

POLL_INTERVAL = 0.005
"""Seconds between two looks at a fact that the server does not announce."""

LOG_LINES_IN_ERRORS = 8


class LocalServer:
    """Run a nats-server on a port that it picks itself.

    Use it with ``with`` or ``async with``; both stop the server and remove its directory. The
    methods are synchronous and take some milliseconds each; a running event loop waits for them.

    :param binary: the nats-server to start; see :func:`find_server_binary`.
    :param host: the address to listen on.
    :param port: the port for clients; ``None`` lets the server pick a free one, which it keeps
        over every later restart.
    :param name: the server's name; by default it is drawn by the server.
    :param users: passwords by user name. Empty: everybody may connect.
    :param tls: certificates; ``None`` for connections in the clear.
    :param jetstream: whether streams can be stored, in the private directory.
    :param max_payload: bytes of the largest message; the server's default is 1 MiB.
    :param extra_config: text in nats-server's own language, for everything else.
    :param start_timeout: seconds within which the server has to be ready.
    :param membership: given by :class:`LocalCluster` to its servers.
    :raises ServerNotFound: when there is no such binary.
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
        max_payload: int | None = None,
        extra_config: str = "",
        start_timeout: float = 10.0,
        membership: Membership | None = None,
    ) -> None:
        self.binary = find_server_binary(binary)
        self.settings = ServerSettings(
            host=host,
            port=port,
            name=name,
            users=users or {},
            tls=tls,
            jetstream=jetstream,
            max_payload=max_payload,
            extra_config=extra_config,
            membership=membership,
        )
        self.start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._directory: Path | None = None
        self._monitor_port: int | None = None
        self._earlier_log = ""

    def __repr__(self) -> str:
        state = f"pid={self.pid} {self.url}" if self.is_running else "not running"
        return f"<{type(self).__name__} {state}>"

    # What is known of the server

    @property
    def is_running(self) -> bool:
        """Whether the process exists; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id.

        :raises ServerError: when the server is not running.
        """
        return self._running().pid

    @property
    def host(self) -> str:
        """The address that clients connect to."""
        return self.settings.host

    @property
    def port(self) -> int:
        """The port for clients: the same after each restart, and known while it is down.

        :raises ServerError: before the first start, unless a port was given.
        """
        if self.settings.port is None:
            raise ServerError("the server has not picked a port yet: start it first")
        return self.settings.port

    @property
    def url(self) -> str:
        """The address as clients write it: ``tls://`` when the server demands TLS."""
        tls = self.settings.tls
        scheme = "nats" if tls is None or tls.allow_non_tls else "tls"
        return f"{scheme}://{bracketed(self.host)}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """The root of the server's HTTP monitoring.

        :raises ServerError: before the first start.
        """
        if self._monitor_port is None:
            raise ServerError("the server has not picked a monitoring port yet: start it first")
        return f"http://{bracketed(self.host)}:{self._monitor_port}"

    @property
    def log(self) -> str:
        """Everything that the server has written since it was first started."""
        if self._directory is None:
            return self._earlier_log
        with contextlib.suppress(FileNotFoundError):
            text = self._log_file.read_text(encoding="utf-8", errors="replace")
            return self._earlier_log + text
        return self._earlier_log

    def monitor(self, path: str, **query: Any) -> dict[str, Any]:
        """Read one page of the HTTP monitoring.

        :param path: for example ``varz``.
        :param query: the page's parameters, for example ``subs=1``.
        :return: the page.
        :raises ServerError: when the server does not answer within five seconds.
        """
        target = urlsplit(self.monitor_url)
        # Not urllib: that would send even this to a proxy named in the environment.
        connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=5.0)
        try:
            connection.request("GET", f"/{path}?{urlencode(query)}")
            return cast("dict[str, Any]", json.loads(connection.getresponse().read()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServerError(f"{self.monitor_url}/{path} gave no answer: {error}") from error
        finally:
            connection.close()

    def varz(self) -> dict[str, Any]:
        """Read the server's counters and settings, such as ``in_msgs`` and ``max_payload``."""
        return self.monitor("varz")

    def connz(self, **query: Any) -> dict[str, Any]:
        """Read its connections: their number in ``num_connections``, each in ``connections``."""
        return self.monitor("connz", **query)

    # Starting

    def start(self) -> None:
        """Start the server and wait until it accepts clients.

        :raises ServerError: when it runs already, ends by itself, or is not ready in time. The
            message ends with the last lines of its log.
        """
        with self._starting() as is_ready:
            while not is_ready():
                time.sleep(POLL_INTERVAL)

    async def start_async(self) -> None:
        """Do what :meth:`start` does while the event loop goes on.

        :raises ServerError: as :meth:`start` does.
        """
        with self._starting() as is_ready:
            while not is_ready():  # noqa: ASYNC110 - the server announces nothing
                await asyncio.sleep(POLL_INTERVAL)

    @contextlib.contextmanager
    def _starting(self) -> Iterator[Callable[[], bool]]:
        if self.is_running:
            raise ServerError(f"the server is running already, with pid {self.pid}")
        deadline = time.monotonic() + self.start_timeout
        try:
            self._launch()
            yield lambda: self._is_ready(deadline)
        except BaseException:
            self.stop()
            raise

    def _launch(self) -> None:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="fastcoord-server-"))
        for stale in self._directory.glob("*.ports"):
            stale.unlink()
        config = self._write_config()
        self._owner = os.getpid()
        _started.add(self)
        self._process = spawn([str(self.binary), "-c", str(config)], output=self._log_file)

    def _write_config(self) -> Path:
        assert self._directory is not None
        config = self._directory / "server.conf"
        config.touch(mode=0o600)  # it may hold passwords
        config.write_text(self.settings.render(self._directory), encoding="utf-8")
        return config

    def _is_ready(self, deadline: float) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise ServerError(f"nats-server ended with exit code {code}{self._last_log_lines()}")
        if self._read_ports():
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
            except ValueError:  # half written
                return False
            self.settings.port = urlsplit(ports["nats"][0]).port
            self._monitor_port = urlsplit(ports["monitoring"][0]).port
            if self.settings.membership is not None:
                self.settings.membership.port = urlsplit(ports["cluster"][0]).port
            return True
        return False

    # Ending, and what a network does to servers

    def stop(self, *, timeout: float = 5.0) -> None:
        """Stop the server and remove its directory. Does nothing when it is stopped already.

        :param timeout: seconds after which a server that does not end is killed.
        """
        if self._owner != os.getpid():
            return  # a fork of the owner: the server is not ours to stop
        self._end_process(timeout)
        if self._directory is not None:
            self._earlier_log = self.log
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        _started.discard(self)

    def kill(self) -> None:
        """Kill the server without warning, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Start the server again on the same port with the same configuration.

        A running one is stopped first; after :meth:`kill` it is only started.

        :raises ServerError: as :meth:`start` does.
        """
        self._end_process(timeout=5.0)
        self.start()

    def freeze(self) -> None:
        """Stop the process in its tracks: connections stay open, nothing is read or answered."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        # The signal takes a moment to reach every thread, and one that still runs may answer.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._running().send_signal(signal.SIGCONT)

    def lame_duck(self) -> None:
        """Ask the server to send its clients away, slowly, and to end."""
        self._running().send_signal(signal.SIGUSR2)

    def reload(
        self, *, users: Mapping[str, str] | None = None, extra_config: str | None = None
    ) -> None:
        """Have the running server read its configuration again.

        :param users: new passwords by user name; ``None`` keeps the present ones.
        :param extra_config: new extra text; ``None`` keeps the present one.
        :raises ServerError: when the server refuses the configuration.
        """
        process = self._running()
        if users is not None:
            self.settings.users = users
        if extra_config is not None:
            self.settings.extra_config = extra_config
        self._write_config()
        seen = len(self.log)
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + self.start_timeout
        while "Reloaded server configuration" not in (news := self.log[seen:]):
            if "[ERR]" in news or time.monotonic() > deadline or not self.is_running:
                raise ServerError(
                    f"nats-server did not reload its configuration{self._last_log_lines()}"
                )
            time.sleep(POLL_INTERVAL)

    def _end_process(self, timeout: float) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a frozen one could not hear it
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        except BaseException:  # Ctrl-C while waiting
            self.kill()
            raise

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

    # Small helpers

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
