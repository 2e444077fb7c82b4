"""Classes of events as a program registers them, and a consumer that delivers their instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

import fastcoord
from fastcoord import AppEvent, Batch, ReloadSettings, StateChange
from fastcoord.receiving.consumer import Consumer

PROTOCOL = "fastcoord-1"


@fastcoord.event(kind=7)
class OrderShipped(msgspec.Struct, frozen=True):
    order: int
    carrier: str = "post"
    weights: tuple[float, ...] = ()


@fastcoord.event(kind=300)
@dataclass(frozen=True)
class PriceChanged:
    article: str
    cents: int
    tags: list[str] = field(default_factory=list)


@fastcoord.event(kind=8)
class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


@fastcoord.event(kind=9)
class Fragile(msgspec.Struct):
    """Its check of a new instance fails in any way."""

    what: str

    def __post_init__(self) -> None:
        if self.what in FAILURES:
            raise FAILURES[self.what]
        if self.what == "call":
            CALLED.append(self)


FAILURES: dict[str, BaseException] = {
    "key": KeyError("a key"),
    "value": ValueError("a value"),
    "memory": MemoryError(),
    "interrupt": KeyboardInterrupt(),
}
CALLED: list[Any] = []
EVENTS = [
    OrderShipped(1),
    StateChange(1, 2, 3),
    PriceChanged("tea", 250, ["hot"]),
    AppEvent(1, b"raw"),
    Tree("root", [Tree("leaf")]),
    ReloadSettings(),
    OrderShipped(2, "ship", (1.5, 2.5)),
]


class TypedHarness:
    """A consumer without a node."""

    def __init__(self, kinds: Any = None) -> None:
        self.consumer = Consumer(
            protocol=PROTOCOL,
            kinds=kinds,
            overflow="drop-oldest",
            peers=False,
            capacity_messages=1000,
            capacity_bytes=1 << 20,
            on_close=lambda consumer: None,
        )
        self.ring = self.consumer.ring

    def put(self, *events: Any) -> None:
        content = fastcoord.encode_batch(events, node_id=5, protocol=PROTOCOL)
        self.ring.put_message(content, 1, len(events), 5, 1.0)

    def take(self) -> list[Any]:
        found = []
        while (item := self.consumer.take_event()) is not None:
            found.append(item)
        return found

    def take_batches(self) -> list[Any]:
        found = []
        while (item := self.consumer.take_batch()) is not None:
            found += list(item) if isinstance(item, Batch) else [item]
        return found

    def assert_sum(self) -> None:
        stats = self.consumer.stats()
        seen = stats.delivered + stats.buffered + stats.filtered + stats.missed
        assert stats.arrived == seen, stats

    def __del__(self) -> None:
        if hasattr(self, "consumer"):
            self.consumer.close()
