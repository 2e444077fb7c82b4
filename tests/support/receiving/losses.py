"""The losses that a receiving side reports of its usual sender."""

from __future__ import annotations

from fastcoord import Missed
from support.receiving.receiving_side import SENDER

DISCONNECT = Missed(None, None, "disconnect")


def gap(events: int | None) -> Missed:
    return Missed(SENDER, events, "gap")


def discarded(events: int) -> Missed:
    return Missed(SENDER, events, "discarded")


def undecodable(events: int | None) -> Missed:
    return Missed(SENDER, events, "undecodable")
