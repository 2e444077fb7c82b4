"""Clients that carry the same events over the same server, each behind one contract.

A peer is a module with

``NAME``, ``version()``
    what it is called in tables, and the version of what it stands on.
``EVENTS``
    how many events make a run of about a second.
``prepare(events)``
    gives the same events as the objects that this house would have them in.
``publisher(wire)``
    an asynchronous context manager; it gives a coroutine function ``publish(objects)``, which sends
    them as a program would, and a coroutine function ``flush()``.
``subscriber(wire, take)``
    an asynchronous context manager; it gives a coroutine function ``consume(count)``, which ends
    once so many events have arrived as objects. ``take`` is called with each, if it is given.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

Publish = Callable[[Sequence[Any]], Awaitable[None]]
Flush = Callable[[], Awaitable[None]]
Take = Callable[[Any], object]
Consume = Callable[[int], Awaitable[None]]

MODULES = {
    "fastcoord": "fastcoord_nodes",
    "fastcoord_many": "fastcoord_nodes_many",
    "nats_py_single": "nats_py_single",
    "nats_py_iterator": "nats_py_iterator",
    "nats_py_batched": "nats_py_batched",
    "nats_core": "nats_core_single",
    "natsrpy": "natsrpy_single",
}
"""Peers in Python. One more, ``libnats``, is a program of its own: see ``libnats.c``."""


@dataclass
class Wire:
    """Where events travel.

    :ivar url: the server.
    :ivar subject: what they are published on.
    :ivar kind: the one kind of event that travels.
    :ivar options: settings of fastcoord's store, such as ``capacity.batch-bytes``.
    """

    url: str
    subject: str
    kind: str = "StateChange"
    options: dict[str, Any] = field(default_factory=dict)


class Peer(Protocol):
    """What a module of a peer provides."""

    NAME: str
    EVENTS: int

    def version(self) -> str: ...

    def prepare(self, events: Sequence[Any]) -> list[Any]: ...

    def publisher(self, wire: Wire) -> AbstractAsyncContextManager[tuple[Publish, Flush]]: ...

    def subscriber(self, wire: Wire, take: Take | None) -> AbstractAsyncContextManager[Consume]: ...


def load(name: str) -> Peer:
    """Import a peer.

    :raises ImportError: what it stands on is not installed.
    """
    module: Any = importlib.import_module(f"benchmarks.peers.{MODULES[name]}")
    return module


class Countdown:
    """Ends a subscriber whose messages come by callback."""

    def __init__(self) -> None:
        self.left = 0
        self.done: Any = None

    def step(self, events: int) -> None:
        """Count what has arrived."""
        self.left -= events
        if self.left <= 0 and self.done is not None and not self.done.done():
            self.done.set_result(None)

    async def wait(self, loop: Any, count: int) -> None:
        """Return once so many have arrived since it was made."""
        self.done = loop.create_future()
        self.left += count
        if self.left > 0:
            await self.done
