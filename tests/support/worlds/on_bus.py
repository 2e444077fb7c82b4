"""The faults, made by the bus in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import fastcoord
from fastcoord import Node
from fastcoord.testing import Bus
from support.worlds.world import SETTINGS, send


class OnBus:
    """Nodes on a bus in memory."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._short_lived: Node | None = None

    def node(self, node_id: int) -> AbstractAsyncContextManager[Node]:
        return fastcoord.connect(
            self._bus.url, node_id=node_id, user=f"n{node_id}", password="secret", **SETTINGS
        )

    @asynccontextmanager
    async def short_lived_node(self, node_id: int, events: int) -> AsyncIterator[None]:
        async with self.node(node_id) as self._short_lived:
            await send(self._short_lived, *[b"short"] * events)
            yield

    async def kill_node(self) -> None:
        assert self._short_lived is not None
        self._bus.kill_node(self._short_lived)

    async def cut(self, node_id: int) -> None:
        self._bus.cut(node_id)

    async def disconnect(self, node_id: int) -> None:
        self._bus.disconnect(node_id)

    async def stall(self, node_id: int) -> None:
        self._bus.stall(node_id)

    async def delay(self, node_id: int, seconds: float) -> None:
        self._bus.delay(node_id, seconds)

    async def lose(self, node_id: int, messages: int, *, published: bool = False) -> None:
        self._bus.lose(node_id, messages, published=published)

    async def refuse(self, node_id: int, **rights: str) -> None:
        self._bus.refuse(node_id, **rights)

    async def refuse_credentials(self, node_id: int) -> None:
        self._bus.refuse_credentials(node_id)

    async def refuse_connections(self) -> None:
        self._bus.refuse_connections()

    async def restore(self, node_id: int) -> None:
        self._bus.restore(node_id)

    async def kill(self) -> None:
        self._bus.kill()

    async def start(self) -> None:
        self._bus.start()

    async def freeze(self) -> None:
        self._bus.freeze()

    async def thaw(self) -> None:
        self._bus.thaw()


class PartedOnBus:
    """Two nodes on a bus in memory, which parts their servers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def node(self, node_id: int) -> AbstractAsyncContextManager[Node]:
        return fastcoord.connect(self._bus.url, node_id=node_id, **SETTINGS)

    async def part(self) -> None:
        self._bus.part(1, 2)

    async def heal(self) -> None:
        self._bus.heal()


@asynccontextmanager
async def on_bus() -> AsyncIterator[OnBus]:
    """Begin a bus."""
    with Bus() as bus:
        yield OnBus(bus)


@asynccontextmanager
async def parted_on_bus() -> AsyncIterator[PartedOnBus]:
    """Begin a bus with two nodes that can be parted."""
    with Bus() as bus:
        yield PartedOnBus(bus)
