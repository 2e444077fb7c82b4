"""Format tables as plain lines or with rich."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Table", "has_rich_terminal", "plain_lines", "rich_table"]


@dataclass(frozen=True)
class Table:
    """A table to print; every cell is text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wrong: frozenset[int] = frozenset()
    """The rows that show a problem, counted from 0."""


def has_rich_terminal() -> bool:
    """Return whether standard output is a terminal and rich is installed."""
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


def plain_lines(table: Table) -> list[str]:
    """Format a table as lines with aligned columns.

    :param table: the table.
    :return: the lines, without the title.
    """
    columns = [
        _aligned([name, *(row[index] for row in table.rows)])
        for index, name in enumerate(table.columns)
    ]
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def rich_table(table: Table) -> Any:
    """Convert a table to a ``rich.table.Table``."""
    from rich.table import Table as RichTable

    layout = RichTable(title=table.title or None, title_justify="left", title_style="bold")
    for index, name in enumerate(table.columns):
        is_number = _are_numbers([row[index] for row in table.rows])
        layout.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for index, row in enumerate(table.rows):
        layout.add_row(*row, style="bold red" if index in table.wrong else None)
    return layout


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    if _are_numbers(column[1:]):  # the first cell is the name of the column
        return [cell.rjust(width) for cell in column]
    return [cell.ljust(width) for cell in column]


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(not cell or cell.replace(",", "").isdigit() for cell in cells)
