"""The finished runs of a search, and how they are judged."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import msgspec

from fastcoord.tuning.result import Result

__all__ = [
    "PLANS",
    "Measured",
    "Plan",
    "Purpose",
    "cost",
    "failure",
    "is_clearly_better",
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
    :ivar problem: why the run is not valid; the search then skips this point.
    """

    purpose: Purpose
    varied: str
    settings: dict[str, Any]
    is_good: bool
    result: Result
    problem: str | None = None

    @property
    def suffices(self) -> bool | None:
        """Whether the settings are good; ``None`` if this was not measured."""
        return None if self.problem else self.is_good


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


def failure(result: Result) -> str | None:
    """Return what was lost, or that publishers waited for an outage to end, or ``None``."""
    if result.missed or result.discarded:
        return f"{result.missed:,} events were missed and {result.discarded:,} discarded"
    load = result.load
    if load.outage and not load.nowait:
        longest = max(each.latest for each in result.publishers)
        if longest >= load.outage / 4:
            return f"a publisher waited for {longest:.1f} s"
    return None


def run_key(run: Measured) -> tuple[Any, ...]:
    return run.purpose, run.varied, tuple(sorted(run.settings.items()))


def cost(result: Result) -> float:
    return math.inf if result.latency is None else result.latency.percentiles["99"]


def is_clearly_better(result: Result, base: Result) -> bool:
    before, after = cost(base), cost(result)
    return after < before * CLEARLY_BETTER and before - after > NOISE_MS
