"""Two servers with one route between them, which can be slow, stall and part."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastcoord.server import LocalServer
from fastcoord.server.ports import reserve
from support.servers.unusable import unused_address
from support.wait import until

CONFIG = "cluster {{ name: c, listen: 127.0.0.1:{port}, no_advertise: true, routes: [{routes}] }}"


class Route:
    """A relay between two servers. What is on its way is lost when a connection ends.

    :param port: the port on which the target accepts routes.
    :ivar delay: seconds that bytes need from one server to the other.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self._target = port
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._reserved = contextlib.ExitStack()
        """Keeps the port while the route is cut."""

    @property
    def url(self) -> str:
        return f"nats-route://127.0.0.1:{self._port}"

    def stall(self) -> None:
        """Hold back all data; nothing is lost."""
        self._is_open.clear()

    def recover(self) -> None:
        """Forward again, held data first."""
        self._is_open.set()

    def part(self) -> None:
        """Cut the route, lose what is on its way, and refuse new connections."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            # uvloop closes the listener later.
            with contextlib.suppress(OSError):
                self._reserved.enter_context(reserve("127.0.0.1", self._port))
        for connection in self._connections:
            connection.cancel()

    async def heal(self) -> None:
        """Accept connections; a server tries about once a second."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]
        self._reserved.close()

    async def __aenter__(self) -> Route:
        await self.heal()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.part()
        self._reserved.close()
        await until(lambda: not self._connections, because="every connection of the route ended")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [writer]
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target)
                writers.append(to_target)
                await _until_first_ends(
                    self._pass(reader, to_target), self._pass(from_target, writer)
                )
        finally:
            for each in writers:
                each.transport.abort()
            self._connections.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def read() -> None:
            while data := await reader.read(65536):
                under_way.put_nowait((loop.time() + self.delay, data))

        async def write() -> None:
            while not writer.is_closing():
                due, data = await under_way.get()
                await asyncio.sleep(due - loop.time())
                await self._is_open.wait()
                writer.write(data)

        await _until_first_ends(read(), write())


async def _until_first_ends(*parts: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class RoutedPair:
    """The servers and their route.

    :ivar near: the server whose death ends the route.
    :ivar far: the server that opens the route.
    """

    near: LocalServer
    far: LocalServer
    route: Route

    async def is_routed(self, *, wanted: bool = True) -> None:
        """Wait until there is a route, or none."""
        await until(lambda: bool(self.far.monitor("routez")["num_routes"]) is wanted)

    async def part(self) -> None:
        """Part the servers, and wait until both know it."""
        self.route.part()
        await self.is_routed(wanted=False)
        await until(lambda: not self.near.monitor("routez")["num_routes"])


@asynccontextmanager
async def routed_pair() -> AsyncIterator[RoutedPair]:
    """Run two servers that tell clients nothing of each other."""
    port = int(unused_address().name.rpartition(":")[2])
    async with Route(port) as route:
        near = LocalServer(extra_config=CONFIG.format(port=port, routes=""))
        far = LocalServer(extra_config=CONFIG.format(port=-1, routes=route.url))
        with near, far:
            pair = RoutedPair(near, far, route)
            await pair.is_routed()
            yield pair
