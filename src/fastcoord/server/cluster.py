"""A cluster of local servers."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from fastcoord.errors import ServerError
from fastcoord.server.local import POLL_INTERVAL, LocalServer
from fastcoord.server.settings import Membership

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["LocalCluster"]


class LocalCluster:
    """Run several nats-servers as one cluster, with a route between each pair of them.

    :param size: the number of servers.
    :param name: the name of the cluster.
    :param options: the options of :class:`LocalServer`, the same for each server.
    :raises ValueError: ``size`` is not positive.
    :raises ServerNotFound: there is no nats-server binary.
    """

    def __init__(self, size: int = 3, *, name: str = "local", **options: Any) -> None:
        if size < 1:
            raise ValueError(f"a cluster has at least one server, not {size}")
        self.start_timeout: float = options.get("start_timeout", 10.0)
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

        :raises ServerError: a server does not start, or a route is missing after the timeout.
        """
        try:
            for server in self.servers:
                server.start()
            self.wait_for_routes()
        except BaseException:
            self.stop()
            raise

    async def start_async(self) -> None:
        """Do the same as :meth:`start` without blocking the event loop.

        :raises ServerError: for the same reasons as :meth:`start`.
        """
        try:
            for server in self.servers:
                await server.start_async()
            deadline = time.monotonic() + self.start_timeout
            while not self._is_routed(deadline):  # noqa: ASYNC110 - servers do not announce routes
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

    def stop(self) -> None:
        """Stop every server."""
        for server in self.servers:
            server.stop()

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
