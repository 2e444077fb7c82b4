"""Format tables as plain lines or with rich."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LiveTable", "Table", "fits", "has_rich_terminal", "plain_lines", "rich_table"]


@dataclass(frozen=True)
class Table:
    """A table to print; every cell is text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wrong: frozenset[int] = frozenset()
    """The rows that show a problem, counted from 0."""
    spare: str = ""
    """The name of the column that is left out first if the terminal is narrow."""

    def without(self, name: str) -> Table:
        """Return the table without one column."""
        index = self.columns.index(name)
        rows = tuple(row[:index] + row[index + 1 :] for row in self.rows)
        return replace(self, columns=self.columns[:index] + self.columns[index + 1 :], rows=rows)


def has_rich_terminal() -> bool:
    """Return whether to draw on standard output.

    It must be a terminal that can move its cursor, rich must be installed, and ``NO_COLOR`` must
    not be set.
    """
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return importlib.util.find_spec("rich") is not None


def fits(table: Table, width: int) -> bool:
    """Return whether all columns of a table fit into the width of a terminal."""
    return _width(table, len(table.columns)) <= width


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


def rich_table(table: Table, width: int | None = None) -> Any:
    """Convert a table to a ``rich.table.Table``.

    A table that does not fit has no borders, and the words of a column's name below each other, and
    then also without its spare column. If it still does not fit, it has borders, and columns are
    left out from the right: a part of a number would be misread.

    :param table: the table.
    :param width: the width of the terminal. ``None`` keeps all columns.
    """
    from rich.table import Table as RichTable

    shown, is_open = len(table.columns), False
    if width is not None and not fits(table, width):
        open_tables = (table, table.without(table.spare)) if table.spare else (table,)
        fitting = next((each for each in open_tables if _open_width(each) <= width), None)
        is_open = fitting is not None
        table = fitting or table
        shown = len(table.columns) if is_open else _fitting_columns(table, width)
    style: Any = {"box": None, "padding": (0, 2, 0, 0), "pad_edge": False} if is_open else {}
    layout = RichTable(title=table.title or None, title_justify="left", title_style="bold", **style)
    for index, name in enumerate(table.columns[:shown]):
        is_number = _are_numbers([row[index] for row in table.rows])
        layout.add_column(
            "\n".join(name.split()) if is_open else name,
            justify="right" if is_number else "left",
            vertical="bottom",
            no_wrap=True,
        )
    for index, row in enumerate(table.rows):
        layout.add_row(*row[:shown], style="bold red" if index in table.wrong else None)
    return layout


class LiveTable:
    """A table for ``rich.live.Live``. Each frame has the columns that fit at that time.

    :param table: the table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        yield rich_table(self._table, options.max_width)


def _fitting_columns(table: Table, width: int) -> int:
    """Return how many columns fit; at least one."""
    counts = range(len(table.columns), 1, -1)
    return next((count for count in counts if _width(table, count) <= width), 1)


def _width(table: Table, count: int) -> int:
    """Return the width of the first columns, with their borders and padding."""
    cells = zip(table.columns[:count], *(row[:count] for row in table.rows), strict=True)
    return 1 + sum(3 + max(map(len, column)) for column in cells)


def _open_width(table: Table) -> int:
    """Return the width of a table without borders, with two blanks between columns."""
    cells = zip(table.columns, *table.rows, strict=True)
    widths = (max(map(len, (*name.split(), *column))) for name, *column in cells)
    return sum(2 + width for width in widths) - 2


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    if _are_numbers(column[1:]):  # the first cell is the name of the column
        return [cell.rjust(width) for cell in column]
    return [cell.ljust(width) for cell in column]


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(not cell or cell.replace(",", "").isdigit() for cell in cells)
