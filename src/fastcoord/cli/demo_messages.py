"""What the demo and its node processes say to each other: one JSON object a line."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["NodeReport", "NodeTask", "Order", "Phase", "Totals"]

Phase = Literal["started", "connected", "ready", "publishing", "published", "done"]


class NodeTask(msgspec.Struct, frozen=True, kw_only=True):
    """What one node process is started with."""

    config: str
    node_id: int
    node_ids: tuple[int, ...]
    seed: int
    rate: int
    seconds: float

    @property
    def peers(self) -> tuple[int, ...]:
        """The other nodes."""
        return tuple(each for each in self.node_ids if each != self.node_id)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is to do next; the end of the line means to leave."""

    action: Literal["publish", "finish", "stay"]
    published: dict[int, int] = {}
    """With ``finish``: how many events each node has published, and so what to wait for."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of a node's own statistics, of which two sums have to add up."""

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
    """Where a node is, and what it has counted so far."""

    phase: Phase = "started"
    server: str = ""
    sent: int = 0
    received: dict[int, int] = {}
    """Events by sender."""
    missed: dict[int, dict[str, int]] = {}
    """Events by sender and by cause, as ``Missed`` told them."""
    unattributed: int = 0
    """How often ``Missed`` could not say what is missing."""
    wrong: int = 0
    """Events that are not the ones which their sender published at that place."""
    totals: Totals | None = None
