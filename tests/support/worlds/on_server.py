"""The faults, made by a real server, proxies in front of it, and real processes."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import fastcoord
from fastcoord import Node
from fastcoord.server import LocalServer
from support.faults.frames import Frame
from support.faults.proxy import Direction, Proxy
from support.servers.routed_pair import RoutedPair, routed_pair
from support.worlds.world import SETTINGS, SUBJECT

SCRIPT = Path(__file__).with_name("short_lived.py")
NODES = 3
COUNT = re.compile(rb"\r\nF: ?1\w[-.\w]*?\.[-\w]+(?:\.([-\w]+))?")
"""The field ``count`` of a sequence header; 1 if it is left out."""


def has_events(frame: Frame) -> bool:
    """Return whether a frame is a message with events."""
    found = COUNT.search(frame.header)
    return frame.subject == SUBJECT and found is not None and found[1] != b"0"


def users(rights: Mapping[int, Mapping[str, str]], passwords: Mapping[int, str]) -> str:
    """Write the users of a server, one for each node.

    :param rights: for each node, the subjects that are refused, by ``publish`` and ``subscribe``.
    :param passwords: the passwords that are not ``secret``.
    """
    entries = []
    for node_id in range(1, NODES + 1):
        refused = {way: {"deny": [subject]} for way, subject in rights.get(node_id, {}).items()}
        password = passwords.get(node_id, "secret")
        permissions = {"publish": ">", "subscribe": ">", **refused}
        entries.append({"user": f"n{node_id}", "password": password, "permissions": permissions})
    return f"authorization {{ users: {json.dumps(entries)} }}"


class OnServer:
    """Nodes on a real server, each behind a proxy and as a user of its own."""

    def __init__(self, server: LocalServer, proxies: dict[int, Proxy]) -> None:
        self._server = server
        self._proxies = proxies
        self._rights: defaultdict[int, dict[str, str]] = defaultdict(dict)
        self._passwords: dict[int, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._spare: asyncio.subprocess.Process | None = None

    def _reload(self) -> None:
        self._server.reload(extra_config=users(self._rights, self._passwords))

    def node(self, node_id: int) -> AbstractAsyncContextManager[Node]:
        return fastcoord.connect(
            self._proxies[node_id].url,
            node_id=node_id,
            user=f"n{node_id}",
            password="secret",
            **SETTINGS,
        )

    @asynccontextmanager
    async def short_lived_node(self, node_id: int, events: int) -> AsyncIterator[None]:
        process, self._spare = self._spare, None
        if process is None:
            # While the first one is known as up, the second one has no time to start.
            process, self._spare = await self._spawn(node_id), await self._spawn(node_id)
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"%d\n" % events)
        try:
            assert await process.stdout.readline() == b"ready\n"
            yield
        finally:
            await end(process)

    async def _spawn(self, node_id: int) -> asyncio.subprocess.Process:
        settings = json.dumps({**SETTINGS, "user": f"n{node_id}", "password": "secret"})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SCRIPT), self._proxies[node_id].url, str(node_id), settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"started\n"
        return process

    async def kill_node(self) -> None:
        assert self._process is not None
        await end(self._process)

    async def close(self) -> None:
        """End the process that no test has used."""
        if self._spare is not None:
            await end(self._spare)

    async def cut(self, node_id: int) -> None:
        self._proxies[node_id].refuse()
        self._proxies[node_id].cut(reset=True)

    async def disconnect(self, node_id: int) -> None:
        self._proxies[node_id].cut(reset=True)

    async def stall(self, node_id: int) -> None:
        for direction in self._directions(node_id):
            direction.pause()

    async def delay(self, node_id: int, seconds: float) -> None:
        async def wait(frame: Frame) -> Frame:
            await asyncio.sleep(seconds)
            return frame

        for direction in self._directions(node_id):
            direction.filter = wait

    async def lose(self, node_id: int, messages: int, *, published: bool = False) -> None:
        proxy, remaining = self._proxies[node_id], messages

        def drop(frame: Frame) -> Frame | None:
            nonlocal remaining
            if not remaining or not has_events(frame):
                return frame
            remaining -= 1
            return None

        (proxy.to_server if published else proxy.to_client).filter = drop

    async def refuse(self, node_id: int, **rights: str) -> None:
        self._rights[node_id].update(rights)
        self._reload()

    async def refuse_credentials(self, node_id: int) -> None:
        self._passwords[node_id] = "another"
        self._reload()

    async def refuse_connections(self) -> None:
        for proxy in self._proxies.values():
            proxy.refuse()

    async def restore(self, node_id: int) -> None:
        for direction in self._directions(node_id):
            direction.filter = None
            direction.resume()
        await self._proxies[node_id].accept()
        if self._rights.pop(node_id, None):
            self._reload()

    async def kill(self) -> None:
        # A proxy accepts connections although its server does not run.
        await self.refuse_connections()
        self._server.kill()

    async def start(self) -> None:
        await self._server.start_async()
        for proxy in self._proxies.values():
            await proxy.accept()

    async def freeze(self) -> None:
        self._server.freeze()

    async def thaw(self) -> None:
        self._server.thaw()

    def _directions(self, node_id: int) -> tuple[Direction, Direction]:
        proxy = self._proxies[node_id]
        return proxy.to_server, proxy.to_client


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process with SIGKILL, unless it has ended."""
    if process.returncode is None:
        process.kill()
    await process.communicate()


class PartedOnServers:
    """Two nodes on two real servers with one route."""

    def __init__(self, pair: RoutedPair) -> None:
        self._pair = pair

    def node(self, node_id: int) -> AbstractAsyncContextManager[Node]:
        server = self._pair.near if node_id == 1 else self._pair.far
        return fastcoord.connect(server.url, node_id=node_id, **SETTINGS)

    async def part(self) -> None:
        await self._pair.part()

    async def heal(self) -> None:
        await self._pair.route.heal()
        await self._pair.is_routed()


@asynccontextmanager
async def on_server() -> AsyncIterator[OnServer]:
    """Begin a server with proxies in front of it."""
    async with AsyncExitStack() as stack:
        server = LocalServer(extra_config=users({}, {}))
        await stack.enter_async_context(server)
        proxies = {
            node_id: await stack.enter_async_context(Proxy(server.host, server.port))
            for node_id in range(1, NODES + 1)
        }
        world = OnServer(server, proxies)
        stack.push_async_callback(world.close)
        yield world


@asynccontextmanager
async def parted_on_servers() -> AsyncIterator[PartedOnServers]:
    """Begin two servers with one route."""
    async with routed_pair() as pair:
        yield PartedOnServers(pair)
