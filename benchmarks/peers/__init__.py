"""Clients that send the same events through the same server, with one interface.

A peer is a module with

``NAME``, ``version()``
    its name in tables, and the version of its library.
``EVENTS``
    the number of events in a run of about a second.
``prepare(events)``
    converts the events to the objects that the library sends.
``publisher(wire)``
    an asynchronous context manager; it yields a coroutine function ``publish(objects)``, which
    sends them as a program would, and a coroutine function ``flush()``.
``subscriber(wire, take)``
    an asynchronous context manager; it yields a coroutine function ``consume(count)``, which
    returns when ``count`` events have arrived as objects. ``take``, if given, is called with each.
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
    "fastcoord_stream": "fastcoord_stream_nodes",
    "nats_py_single": "nats_py_single",
    "nats_py_iterator": "nats_py_iterator",
    "nats_py_batched": "nats_py_batched",
    "nats_core": "nats_core_single",
    "natsrpy": "natsrpy_single",
}
"""Peers in Python. Another one, ``libnats``, is a C program: see ``libnats.c``."""


@dataclass
class Wire:
    """The server, the subject and the events of a run.

    :ivar url: the server.
    :ivar subject: the subject.
    :ivar kind: the kind of the events.
    :ivar options: settings of fastcoord's store, such as ``capacity.batch-bytes``.
    """

    url: str
    subject: str
    kind: str = "StateChange"
    options: dict[str, Any] = field(default_factory=dict)


class Peer(Protocol):
    """The interface of a peer's module."""

    NAME: str
    EVENTS: int

    def version(self) -> str: ...

    def prepare(self, events: Sequence[Any]) -> list[Any]: ...

    def publisher(self, wire: Wire) -> AbstractAsyncContextManager[tuple[Publish, Flush]]: ...

    def subscriber(self, wire: Wire, take: Take | None) -> AbstractAsyncContextManager[Consume]: ...


def load(name: str) -> Peer:
    """Import a peer.

    :raises ImportError: its library is not installed.
    """
    module: Any = importlib.import_module(f"benchmarks.peers.{MODULES[name]}")
    return module


class Countdown:
    """Count down the events of a subscriber with a callback."""

    def __init__(self) -> None:
        self.left = 0
        self.done: Any = None

    def step(self, events: int) -> None:
        """Count events that have arrived."""
        self.left -= events
        if self.left <= 0 and self.done is not None and not self.done.done():
            self.done.set_result(None)

    async def wait(self, loop: Any, count: int) -> None:
        """Wait until ``count`` events have arrived since this object was created."""
        self.done = loop.create_future()
        self.left += count
        if self.left > 0:
            await self.done
