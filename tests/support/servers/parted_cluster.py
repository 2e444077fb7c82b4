"""Three servers with JetStream whose routes pass through proxies, so that they can be parted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations

from fastcoord.server import LocalServer
from support.faults.proxy import Proxy
from support.servers.unusable import unused_address
from support.wait import until

SIZE = 3


class PartedCluster:
    """The servers, and the proxies between each pair of them.

    :ivar servers: the servers.
    """

    def __init__(self, ports: list[int], proxies: dict[tuple[int, int], Proxy]) -> None:
        self._proxies = proxies
        self.servers = [
            LocalServer(
                jetstream=True,
                name=f"parted-{number}",
                start_timeout=60.0,
                extra_config=self._cluster(number, port),
            )
            for number, port in enumerate(ports)
        ]

    def _cluster(self, number: int, port: int) -> str:
        routes = ", ".join(
            f'"nats-route://127.0.0.1:{proxy.port}"'
            for (source, _), proxy in self._proxies.items()
            if source == number
        )
        # The advertised address leads nowhere, so that all routes pass through the proxies.
        return (
            f'cluster {{ name: parted, listen: "127.0.0.1:{port}", advertise: "127.0.0.1:1",'
            f" no_advertise: true, routes: [{routes}] }}"
        )

    async def start(self) -> None:
        """Start the servers, and wait until JetStream has a leader."""
        await asyncio.gather(*(server.start_async() for server in self.servers))
        await self.is_complete()

    async def is_complete(self) -> None:
        """Wait until each server has routes to all others, and JetStream a leader."""

        def is_complete(server: LocalServer) -> bool:
            others = {route["remote_id"] for route in server.monitor("routez")["routes"]}
            leader = server.monitor("jsz").get("meta_cluster", {}).get("leader")
            healthy = server.monitor("healthz")["status"] == "ok"
            return len(others) == SIZE - 1 and bool(leader) and healthy

        for server in self.servers:
            await until(lambda server=server: asyncio.to_thread(is_complete, server))

    def part(self, number: int) -> None:
        """Cut the routes between one server and all others."""
        for pair, proxy in self._proxies.items():
            if number in pair:
                proxy.refuse()
                proxy.cut()

    async def heal(self) -> None:
        """Allow all routes again."""
        for proxy in self._proxies.values():
            await proxy.accept()


@asynccontextmanager
async def parted_cluster() -> AsyncIterator[PartedCluster]:
    """Run the servers."""
    ports = [int(unused_address().name.rpartition(":")[2]) for _ in range(SIZE)]
    async with contextlib.AsyncExitStack() as stack:
        proxies = {}
        for source, target in permutations(range(SIZE), 2):
            proxy = await stack.enter_async_context(Proxy("127.0.0.1", ports[target]))
            proxies[source, target] = proxy
        cluster = PartedCluster(ports, proxies)
        try:
            await cluster.start()
            yield cluster
        finally:
            for server in cluster.servers:
                server.stop()
