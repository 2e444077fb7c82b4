"""The messages between the demo and its node processes: one JSON object a line."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["NodeReport", "NodeTask", "Order", "Phase", "Totals"]

Phase = Literal["started", "connected", "ready", "publishing", "published", "done"]


class NodeTask(msgspec.Struct, frozen=True, kw_only=True):
    """The task that a node process is started with."""

    config: str
    node_id: int
    node_ids: tuple[int, ...]
    seed: int
    rate: int
    seconds: float

    @property
    def peers(self) -> tuple[int, ...]:
        """The ids of the other nodes."""
        return tuple(each for each in self.node_ids if each != self.node_id)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The next action of a node. A node leaves at the end of its standard input."""

    action: Literal["publish", "finish", "stay"]
    published: dict[int, int] = {}
    """For ``finish``: how many events each node has published. The others wait for them."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Counters from a node's stats. They are the terms of two sums."""

    accepted: int
    confirmed: int
    waiting: int
    discarded: int
    arrived: int
    delivered: int
    buffered: int
    filtered: int
    missed: int


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The phase of a node and its counters so far."""

    phase: Phase = "started"
    server: str = ""
    sent: int = 0
    received: dict[int, int] = {}
    """Events by sender."""
    missed: dict[int, dict[str, int]] = {}
    """Missed events by sender and by cause."""
    unattributed: int = 0
    """How many ``Missed`` notices came without a number of events."""
    wrong: int = 0
    """Events that differ from the one that their sender published at that position."""
    totals: Totals | None = None
