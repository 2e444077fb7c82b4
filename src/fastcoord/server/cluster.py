"""Several local servers with routes between them."""

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
    """Run several nats-servers as one cluster; a full mesh of routes is a fact after the start.

    :param size: how many servers.
    :param name: the cluster's name.
    :param options: those of :class:`LocalServer`, the same for each server.
    :raises ValueError: when ``size`` is not positive.
    :raises ServerNotFound: when there is no binary.
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
        """Start every server and wait until each has a route to each other.

        :raises ServerError: when one does not start, or a route is missing after the timeout.
        """
        try:
            for server in self.servers:
                server.start()
            self.wait_for_routes()
        except BaseException:
            self.stop()
            raise

    async def start_async(self) -> None:
        """Do what :meth:`start` does while the event loop goes on.

        :raises ServerError: as :meth:`start` does.
        """
        try:
            for server in self.servers:
                await server.start_async()
            deadline = time.monotonic() + self.start_timeout
            while not self._is_routed(deadline):  # noqa: ASYNC110 - servers announce nothing
                await asyncio.sleep(POLL_INTERVAL)
        except BaseException:
            self.stop()
            raise

    def wait_for_routes(self) -> None:
        """Wait until each running server has a route to each other running one.

        :raises ServerError: when a route is missing after the timeout.
        """
        deadline = time.monotonic() + self.start_timeout
        while not self._is_routed(deadline):
            time.sleep(POLL_INTERVAL)

    def stop(self) -> None:
        """Stop every server."""
        for server in self.servers:
            server.stop()

    def _other_ports(self, index: int) -> list[int]:
        # Before its first start a server has no port for routes; it will call the earlier ones.
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
            # Two servers may share several connections, one for each pool.
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
