"""What a measurement gives: a median, its spread, and how it compares."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Figure:
    """One contender's result.

    :ivar name: who was measured.
    :ivar unit: of the values below.
    :ivar median: of all rounds.
    :ivar least: the smallest value of a round.
    :ivar most: the largest.
    :ivar rounds: how many there were.
    :ivar ratio: how many times better the first contender was: the median of the ratios of the
        rounds, so that what slows a whole round down does not count.
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
        """Sum up the rounds of one contender.

        :param base: the rounds of the one to compare with, in the same order.
        """
        pairs = zip(values, base, strict=True)
        ratios = [theirs / ours if less_is_better else ours / theirs for theirs, ours in pairs]
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
        """Give it as JSON takes it."""
        return asdict(self)


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.2g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table whose columns are aligned."""
    lines = [header, ["---"] * len(header), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    written = []
    for line in lines:
        padding = "-" if line[0] == "---" else " "
        cells = [cell.ljust(width, padding) for cell, width in zip(line, widths, strict=True)]
        written.append(f"| {' | '.join(cells)} |")
    return "\n".join(written)
