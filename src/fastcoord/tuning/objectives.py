"""Objectives such as ``p99<5ms``, and the limits of a comparison such as ``p99:10%``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fastcoord.tuning.result import PERCENTILES, metrics

if TYPE_CHECKING:
    from fastcoord.tuning.result import Result

__all__ = [
    "Change",
    "Limit",
    "Objective",
    "Outcome",
    "compare",
    "parse_limit",
    "parse_objectives",
    "unit_of",
]

LATENCIES = (*(f"p{each:g}" for each in PERCENTILES), "mean", "max")
NAMES = (*LATENCIES, "missed", "duplicated", "out-of-order", "events/s", "messages/s")
COMPARED = (
    *NAMES,
    *("publisher-cpu", "subscriber-cpu", "publisher-memory", "subscriber-memory"),
)
HIGHER_IS_BETTER = ("events/s", "messages/s")

UNITS = {
    **dict.fromkeys(LATENCIES, "ms"),
    **dict.fromkeys(("publisher-cpu", "subscriber-cpu"), "µs an event"),
    **dict.fromkeys(("publisher-memory", "subscriber-memory"), "MB"),
}

_OBJECTIVE = re.compile(r"\s*([a-z0-9./-]+)\s*(<=|>=|<|>|=)\s*(\d+(?:\.\d+)?)\s*(us|ms|s|)\s*")
_LIMIT = re.compile(r"\s*([a-z0-9./-]+)\s*:\s*(\d+(?:\.\d+)?)\s*%?\s*")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Objective(NamedTuple):
    """One objective; latencies are in milliseconds."""

    text: str
    name: str
    operator: str
    value: float

    def is_met(self, measured: float) -> bool:
        """Return whether a measured figure meets the objective."""
        return {
            "<": measured < self.value,
            "<=": measured <= self.value,
            ">": measured > self.value,
            ">=": measured >= self.value,
            "=": measured == self.value,
        }[self.operator]


class Outcome(NamedTuple):
    """A measured objective; ``measured`` is ``None`` if the run has no such figure."""

    objective: Objective
    measured: float | None
    is_met: bool

    @property
    def measured_text(self) -> str:
        """The figure with its unit."""
        if self.measured is None:
            return "no figure"
        number = f"{self.measured:,.3f}".rstrip("0").rstrip(".")
        return f"{number} {unit_of(self.objective.name)}".rstrip()


class Limit(NamedTuple):
    """By how many percent a figure may be worse in a comparison."""

    name: str
    percent: float


class Change(NamedTuple):
    """The change of one figure from the first run to the second."""

    name: str
    before: float
    after: float
    percent: float | None
    """By how many percent the figure is worse; ``None`` if it was zero before."""
    is_failed: bool


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Read objectives that are separated by commas, for example ``p99<5ms,missed=0``.

    :raises ValueError: an objective cannot be read.
    """
    found = []
    for word in text.split(","):
        match = _OBJECTIVE.fullmatch(word)
        name = match[1] if match else ""
        if match is None or name not in NAMES:
            raise ValueError(
                f"{word.strip()!r} is not an objective such as p99<5ms, missed=0 or events/s>10000;"
                f" the figures are {', '.join(NAMES)}"
            )
        if name in LATENCIES:
            if not match[4]:
                raise ValueError(f"{word.strip()!r} needs a unit: us, ms or s")
            value = float(match[3]) * _MILLISECONDS[match[4]]
        elif match[4]:
            raise ValueError(f"{word.strip()!r} must have no unit")
        else:
            value = float(match[3])
        found.append(Objective(word.strip(), name, match[2], value))
    return tuple(found)


def judge(result: Result, objectives: tuple[Objective, ...]) -> list[Outcome]:
    """Compare a result with objectives."""
    figures = metrics(result)
    outcomes = []
    for each in objectives:
        measured = figures.get(each.name)
        outcomes.append(Outcome(each, measured, measured is not None and each.is_met(measured)))
    return outcomes


def unit_of(name: str) -> str:
    """Return the unit of a figure; empty if it is a number, or its name has the unit."""
    return UNITS.get(name, "")


def parse_limit(text: str) -> Limit:
    """Read a limit such as ``p99:10%``.

    :raises ValueError: it cannot be read.
    """
    match = _LIMIT.fullmatch(text)
    if match is None or match[1] not in COMPARED:
        raise ValueError(
            f"{text!r} is not a limit such as p99:10%; the figures are {', '.join(COMPARED)}"
        )
    return Limit(match[1], float(match[2]))


def compare(before: Result, after: Result, limits: list[Limit]) -> list[Change]:
    """Compare two results.

    :param limits: what may change by how much.
    :return: the change of each figure that both results have.
    """
    first, second = metrics(before), metrics(after)
    allowed = dict(limits)
    changes = []
    for name in COMPARED:
        if name not in first or name not in second:
            continue
        old, new = first[name], second[name]
        worse = old - new if name in HIGHER_IS_BETTER else new - old
        percent = worse / old * 100 if old else None
        if name not in allowed:
            is_failed = False
        elif percent is None:
            is_failed = worse > 0
        else:
            is_failed = percent > allowed[name]
        changes.append(Change(name, old, new, percent, is_failed))
    return changes
