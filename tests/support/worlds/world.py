"""What both worlds have in common, and what a test observes in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from fastcoord import AppEvent, Node, Notice, Subscription
from support.wait import until

SUBJECT = "worlds.test"
HEARTBEAT = "1s"
SETTINGS: dict[str, Any] = {
    "protocol": "fastcoord-1",
    "subject": SUBJECT,
    "heartbeat": HEARTBEAT,
}
ADDRESS = re.compile(r"[\w.]+:\d{4,5}")


class World(Protocol):
    """Nodes, and the faults between them. Node ids count from 1."""

    def node(self, node_id: int) -> AbstractAsyncContextManager[Node]: ...
    def short_lived_node(self, node_id: int, events: int) -> AbstractAsyncContextManager[Any]: ...
    async def kill_node(self) -> None: ...
    async def cut(self, node_id: int) -> None: ...
    async def disconnect(self, node_id: int) -> None: ...
    async def stall(self, node_id: int) -> None: ...
    async def delay(self, node_id: int, seconds: float) -> None: ...
    async def lose(self, node_id: int, messages: int, *, published: bool = False) -> None: ...
    async def refuse(self, node_id: int, **rights: str) -> None: ...
    async def refuse_credentials(self, node_id: int) -> None: ...
    async def refuse_connections(self) -> None: ...
    async def restore(self, node_id: int) -> None: ...
    async def kill(self) -> None: ...
    async def start(self) -> None: ...
    async def freeze(self) -> None: ...
    async def thaw(self) -> None: ...


class PartedWorld(Protocol):
    """Two nodes on servers of their own."""

    def node(self, node_id: int) -> AbstractAsyncContextManager[Node]: ...
    async def part(self) -> None: ...
    async def heal(self) -> None: ...


class Seen:
    """What one subscription delivers, in a form that is the same in both worlds.

    :ivar facts: events by their payload, and notices by their text without addresses.
    """

    def __init__(self, events: Subscription[Any]) -> None:
        self._events = aiter(events)
        self.facts: list[str] = []

    async def until(self, is_last: Callable[[Any], bool]) -> Any:
        """Read until an item that ``is_last`` accepts, and return it."""
        while True:
            item = await anext(self._events)
            self.facts.append(fact(item))
            if is_last(item):
                return item

    async def notice(self, kind: type[Notice]) -> Any:
        """Read until a notice of a class."""
        return await self.until(lambda item: isinstance(item, kind))

    async def event(self, payload: bytes) -> None:
        """Read until an event."""
        await self.until(lambda item: isinstance(item, AppEvent) and item.payload == payload)


def fact(item: Any) -> str:
    """Return the text of an item without the addresses of servers."""
    if isinstance(item, AppEvent):
        return item.payload.decode()
    return text_of(item)


def text_of(value: object) -> str:
    """Return a text without the addresses of servers."""
    return ADDRESS.sub("SERVER", str(value) if isinstance(value, Exception) else repr(value))


def losses(node: Node) -> dict[str, Any]:
    """Return the stats of a node that tell what was lost or repeated."""
    stats = node.stats()
    return {
        "missed": stats.missed,
        "missed_unknown": stats.missed_unknown,
        "duplicates": stats.duplicates,
        "late": stats.late,
        "malformed": stats.malformed,
    }


def published(node: Node) -> dict[str, Any]:
    """Return the stats of a node about its own events."""
    stats = node.stats()
    return {
        "accepted": stats.accepted,
        "confirmed": stats.confirmed,
        "waiting": stats.waiting,
        "discarded": stats.discarded,
        "reconnects": stats.reconnects,
    }


async def send(node: Node, *payloads: bytes) -> None:
    """Publish each payload in a message of its own, and flush."""
    for payload in payloads:
        await node.publish(AppEvent(1, payload))
        await node.flush()


async def refusal(world: World, node_id: int, error: type[Exception]) -> str:
    """Return the text of the error with which a node fails to connect."""
    with pytest.raises(error) as refused:
        async with world.node(node_id):
            pass
    return text_of(refused.value)


async def introduced(*nodes: Node) -> None:
    """Wait until all nodes know each other as up."""

    def all_up() -> bool:
        return all(
            sum(bool(peer.is_up) for peer in node.peers()) == len(nodes) - 1 for node in nodes
        )

    await until(all_up)
