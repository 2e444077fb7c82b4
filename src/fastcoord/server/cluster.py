"""A cluster of local servers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from fastcoord.errors import ServerError
from fastcoord.server.local import POLL_INTERVAL, LocalServer
from fastcoord.server.ports import reserve
from fastcoord.server.settings import Membership

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["LocalCluster"]


class LocalCluster:
    """Run several nats-servers as one cluster, with a route between each pair of them.

    With ``jetstream=True`` the servers are one JetStream cluster, and streams may have up to
    ``size`` replicas.

    :param size: the number of servers.
    :param name: the name of the cluster.
    :param options: the options of :class:`LocalServer`, the same for each server. With JetStream
        the default of ``start_timeout`` is 60 seconds, because the servers elect a leader.
    :raises ValueError: ``size`` is not positive.
    :raises ServerNotFound: there is no nats-server binary.
    """

    def __init__(self, size: int = 3, *, name: str = "local", **options: Any) -> None:
        if size < 1:
            raise ValueError(f"a cluster has at least one server, not {size}")
        self._jetstream: bool = options.get("jetstream", False)
        self.start_timeout: float = options.get("start_timeout", 60.0 if self._jetstream else 10.0)
        memberships = [
            Membership(cluster_name=name, other_ports=partial(self._other_ports, index))
            for index in range(size)
        ]
        self.servers = [
            LocalServer(**options, name=f"{name}-{number}", membership=membership)
            for number, membership in enumerate(memberships, 1)
        ]

    @property
    def urls(self) -> list[str]:
        """The address of each server."""
        return [server.url for server in self.servers]

    def start(self) -> None:
        """Start every server and wait until each has a route to every other.

        With JetStream, also wait until each takes part in the JetStream cluster.

        :raises ServerError: a server is running already or does not start, or the cluster is not
            complete in time.
        """
        self._refuse_running()
        try:
            with self._reserved_ports():
                for server in self.servers:
                    server.start()
            self.wait_for_routes()
            self.wait_for_jetstream()
        except BaseException:
            self.stop()
            raise

    async def start_async(self) -> None:
        """Do the same as :meth:`start` without blocking the event loop.

        :raises ServerError: for the same reasons as :meth:`start`.
        """
        self._refuse_running()
        try:
            with self._reserved_ports():
                for server in self.servers:
                    await server.start_async()
            deadline = time.monotonic() + self.start_timeout
            # Servers announce neither routes nor their place in the JetStream cluster.
            while not self._is_routed(deadline):  # noqa: ASYNC110
                await asyncio.sleep(POLL_INTERVAL)
            while not self._has_jetstream(deadline):  # noqa: ASYNC110
                await asyncio.sleep(POLL_INTERVAL)
        except BaseException:
            self.stop()
            raise

    def wait_for_routes(self) -> None:
        """Wait until each running server has a route to every other running server.

        :raises ServerError: a route is missing after the timeout.
        """
        deadline = time.monotonic() + self.start_timeout
        while not self._is_routed(deadline):
            time.sleep(POLL_INTERVAL)

    def wait_for_jetstream(self) -> None:
        """Wait until each running server takes part in the JetStream cluster.

        That is: the cluster has a leader, and the server has the current state of the cluster and
        of its own streams. Without JetStream, return at once.

        :raises ServerError: a server does not after the timeout.
        """
        deadline = time.monotonic() + self.start_timeout
        while not self._has_jetstream(deadline):
            time.sleep(POLL_INTERVAL)

    def stop(self) -> None:
        """Stop every server."""
        for server in self.servers:
            server.stop()

    def _refuse_running(self) -> None:
        for server in self.servers:
            if server.is_running:
                raise ServerError(
                    f"{server.settings.name} is running already, with pid {server.pid}: start or"
                    " restart the other servers one by one"
                )

    def _other_ports(self, index: int) -> list[int]:
        # A server that has never started has no port for routes. It connects to the others itself.
        return [
            other.settings.membership.port
            for other in self.servers
            if other is not self.servers[index]
            and other.settings.membership is not None
            and other.settings.membership.port is not None
        ]

    def _is_routed(self, deadline: float) -> bool:
        running = [server for server in self.servers if server.is_running]
        known = {server.varz()["server_id"] for server in running}
        for server in running:
            page = server.monitor("routez")
            # Two servers may have several routes between them: nats-server pools routes.
            peers = {route["remote_id"] for route in page["routes"]}
            missing = known - peers - {page["server_id"]}
            if missing:
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"{server.settings.name} has no route to {len(missing)} of the "
                        f"{len(known) - 1} other servers after {self.start_timeout:g} seconds"
                    )
                return False
        return True

    def _has_jetstream(self, deadline: float) -> bool:
        if not self._jetstream:
            return True
        running = [server for server in self.servers if server.is_running]
        names = {server.settings.name for server in running}
        for server in running:
            if problem := self._jetstream_problem(server, names):
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"{server.settings.name} does not take part in the JetStream cluster after "
                        f"{self.start_timeout:g} seconds: {problem}"
                    )
                return False
        return True

    def _jetstream_problem(self, server: LocalServer, running: set[str | None]) -> str | None:
        """Return why a server does not take part in the JetStream cluster, ``None`` if it does."""
        if len(running) <= len(self.servers) // 2:
            return "there is no leader without a majority of the servers"
        health = server.monitor("healthz")
        if health["status"] != "ok":
            return str(health.get("error", health))
        # A server still counts as healthy for some seconds after the leader has died.
        leader = server.monitor("jsz").get("meta_cluster", {}).get("leader")
        return None if leader in running else f"the leader is {leader!r}, which is not running"

    @contextlib.contextmanager
    def _reserved_ports(self) -> Iterator[None]:
        """Choose the ports for routes before any server starts, if JetStream needs that.

        A server with JetStream refuses to start without the addresses of the other servers.
        """
        with contextlib.ExitStack() as reserved:
            for server in self.servers if self._jetstream else []:
                membership = server.settings.membership
                assert membership is not None
                if membership.port is None:
                    reservation = reserved.enter_context(reserve(server.host))
                    membership.port = reservation.getsockname()[1]
            yield

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
