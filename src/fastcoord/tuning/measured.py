"""The finished runs of a search, and how they are judged."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from fastcoord.tuning.result import Result

__all__ = [
    "PLANS",
    "Measured",
    "Plan",
    "Purpose",
    "cost",
    "is_clearly_better",
    "is_good",
    "run_key",
]

Purpose = Literal["steady", "stall", "outage"]

CLEARLY_BETTER = 0.7
"""A swept value matters if its p99 is below this share of the present one's."""

NOISE_MS = 1.0
"""Differences of latency below this many milliseconds are noise."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run of a search.

    :ivar varied: the setting that the run tried, or an empty text.
    :ivar is_good: whether nothing was missed or discarded and publishers did not wait.
    """

    purpose: Purpose
    varied: str
    settings: dict[str, Any]
    is_good: bool
    result: Result


class Plan(NamedTuple):
    """A capacity that has to ride something out."""

    key: str
    purpose: Purpose
    what: str


PLANS = (
    Plan("capacity.subscription", "stall", "a stall"),
    Plan("capacity.client", "outage", "an outage"),
    Plan("capacity.subscription-bytes", "stall", "a stall"),
)
"""In the order of the search: the bytes of a subscription follow from its messages."""


def is_good(result: Result) -> bool:
    """Return whether nothing was lost, and publishers did not wait for an outage to end."""
    if result.missed or result.discarded:
        return False
    load = result.load
    if load.outage and not load.nowait:
        return max(each.latest for each in result.publishers) < load.outage / 4
    return True


def run_key(run: Measured) -> tuple[Any, ...]:
    return run.purpose, run.varied, tuple(sorted(run.settings.items()))


def cost(result: Result) -> float:
    assert result.latency is not None
    return result.latency.percentiles["99"]


def is_clearly_better(result: Result, base: Result) -> bool:
    return cost(result) < cost(base) * CLEARLY_BETTER and cost(base) - cost(result) > NOISE_MS
