"""The result of a measurement: median, spread and ratio."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Figure:
    """The result of one contender.

    :ivar name: the contender.
    :ivar unit: the unit of the values.
    :ivar median: the median of all rounds.
    :ivar least: the smallest value of a round.
    :ivar most: the largest value of a round.
    :ivar rounds: the number of rounds.
    :ivar ratio: how many times better the first contender is: the median of the ratios of the
        rounds, so that a disturbance of a whole round cancels out.
    """

    name: str
    unit: str
    median: float
    least: float
    most: float
    rounds: int
    ratio: float

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        values: Sequence[float],
        base: Sequence[float],
        *,
        less_is_better: bool,
    ) -> Figure:
        """Summarize the rounds of one contender.

        :param base: the rounds of the first contender, in the same order.
        """
        pairs = zip(values, base, strict=True)
        ratios = [value / first if less_is_better else first / value for value, first in pairs]
        return cls(
            name=name,
            unit=unit,
            median=statistics.median(values),
            least=min(values),
            most=max(values),
            rounds=len(values),
            ratio=statistics.median(ratios),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def number(value: float) -> str:
    """Format a number with three significant digits."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.2g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table with aligned columns."""
    lines = [header, ["---"] * len(header), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    written = []
    for line in lines:
        padding = "-" if line[0] == "---" else " "
        cells = [cell.ljust(width, padding) for cell, width in zip(line, widths, strict=True)]
        written.append(f"| {' | '.join(cells)} |")
    return "\n".join(written)
