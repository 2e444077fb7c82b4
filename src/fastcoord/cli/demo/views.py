"""The output of the demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from fastcoord.cli.demo.messages import NodeReport
from fastcoord.cli.demo.sums import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.live import Live

__all__ = ["PlainView", "View", "make_view"]

LINE_INTERVAL = 1.0
"""Seconds between two plain lines on the same node."""


class View(Protocol):
    """Output of the demo."""

    def line(self, text: str = "") -> None:
        """Print a line."""

    def progress(self, reports: Mapping[int, NodeReport]) -> None:
        """Show the progress of every node."""

    def end_progress(self) -> None:
        """End the display of progress; the last state stays visible."""

    def table(self, table: Table) -> None:
        """Print a table."""


def make_view(*, plain: bool) -> View:
    """Select the view: rich if it is installed and standard output is a terminal.

    :param plain: whether to print plain lines in any case.
    :return: the view.
    """
    if plain or not sys.stdout.isatty():
        return PlainView()
    try:
        return RichView()
    except ImportError:
        return PlainView()


def live_table(reports: Mapping[int, NodeReport]) -> Table:
    """Make the table of the progress of every node."""
    rows = []
    for node_id, report in reports.items():
        received = [
            "" if other == node_id else f"{report.received.get(other, 0):,}" for other in reports
        ]
        missed = sum(sum(causes.values()) for causes in report.missed.values())
        rows.append((f"node {node_id}", report.phase, f"{report.sent:,}", *received, f"{missed:,}"))
    senders = (f"from {node_id}" for node_id in reports)
    return Table("", ("node", "phase", "sent", *senders, "missed"), tuple(rows))


class PlainView:
    """Plain lines, for logs and pipes."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._next_lines = self._started + LINE_INTERVAL

    def line(self, text: str = "") -> None:
        print(text, flush=True)

    def progress(self, reports: Mapping[int, NodeReport]) -> None:
        now = time.monotonic()
        if now < self._next_lines:
            return
        self._next_lines = now + LINE_INTERVAL
        for node_id, report in reports.items():
            received = sum(report.received.values())
            missed = sum(sum(causes.values()) for causes in report.missed.values())
            self.line(
                f"{now - self._started:5.1f} s  node {node_id}  {report.phase:<10}  "
                f"sent {report.sent:>9,}  received {received:>9,}  missed {missed:,}"
            )

    def end_progress(self) -> None:
        pass

    def table(self, table: Table) -> None:
        self.line()
        self.line(table.title)
        columns = [
            _aligned([name, *cells])
            for name, cells in zip(table.columns, zip(*table.rows, strict=True), strict=True)
        ]
        for row in zip(*columns, strict=True):
            self.line("  " + "  ".join(row).rstrip())


class RichView:
    """A table that is updated in place."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._live: Live | None = None

    def line(self, text: str = "") -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def progress(self, reports: Mapping[int, NodeReport]) -> None:
        if self._live is None:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=8)
            self._live.start()
        self._live.update(self._layout(live_table(reports)))

    def end_progress(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def table(self, table: Table) -> None:
        self.line()
        self._console.print(self._layout(table))

    def _layout(self, table: Table) -> Any:
        from rich.table import Table as RichTable

        layout = RichTable(title=table.title or None, title_justify="left", title_style="bold")
        for index, name in enumerate(table.columns):
            is_number = _are_numbers([row[index] for row in table.rows])
            layout.add_column(name, justify="right" if is_number else "left", no_wrap=True)
        for row in table.rows:
            style = None if row[-1] in ("adds up", "0") else "bold red"
            layout.add_row(*row, style=style)
        return layout


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    if _are_numbers(column[1:]):  # the first is the name
        return [cell.rjust(width) for cell in column]
    return [cell.ljust(width) for cell in column]


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(not cell or cell.replace(",", "").isdigit() for cell in cells)
