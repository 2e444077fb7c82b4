"""The output of the demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from fastcoord.cli.demo.messages import NodeReport
from fastcoord.cli.tables import LiveTable, Table, fits, has_rich_terminal, plain_lines, rich_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def make_view(*, plain: bool, as_json: bool = False) -> View:
    """Select the view: a live table if standard output is a terminal that rich can draw on.

    :param plain: whether to print plain lines in any case.
    :param as_json: whether standard output is only for the result, as JSON.
    :return: the view.
    """
    if as_json:
        return QuietView()
    return PlainView() if plain or not has_rich_terminal() else RichView()


def live_table(reports: Mapping[int, NodeReport]) -> Table:
    """Make the table of the progress of every node."""
    rows: list[tuple[str, ...]] = []
    wrong = set()
    for node_id, report in reports.items():
        received = [
            "" if other == node_id else f"{report.received.get(other, 0):,}" for other in reports
        ]
        missed = sum(sum(causes.values()) for causes in report.missed.values())
        if missed:
            wrong.add(len(rows))
        rows.append((f"node {node_id}", report.phase, f"{report.sent:,}", *received, f"{missed:,}"))
    senders = (f"from {node_id}" for node_id in reports)
    return Table("", ("node", "phase", "sent", *senders, "missed"), tuple(rows), frozenset(wrong))


def print_plain(table: Table, line: Callable[[str], None]) -> None:
    """Print a table as plain lines."""
    for each in ("", table.title, *(f"  {row}" for row in plain_lines(table))):
        line(each)


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
        print_plain(table, self.line)


class QuietView:
    """Lines on standard error, without tables."""

    def line(self, text: str = "") -> None:
        if text:
            print(text, file=sys.stderr, flush=True)

    def progress(self, reports: Mapping[int, NodeReport]) -> None:
        pass

    def end_progress(self) -> None:
        pass

    def table(self, table: Table) -> None:
        pass


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
        self._live.update(LiveTable(live_table(reports)))

    def end_progress(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def table(self, table: Table) -> None:
        if fits(table, self._console.width):
            self.line()
            self._console.print(rich_table(table))
        else:
            # A sum without its last terms would be wrong, and a part of a number misread.
            print_plain(table, self.line)
