"""Show the progress of measured runs: one line that is updated in place on a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastcoord.cli.ending import EndingSignals
    from fastcoord.tuning.result import Result
    from fastcoord.tuning.run import Run, RunState

__all__ = ["INVALID", "MISSED_OBJECTIVE", "ProgressLine", "measure_until_ended"]

MISSED_OBJECTIVE = 1
INVALID = 3
LINE_INTERVAL = 2.0
"""Seconds between two lines of progress if standard error is not a terminal."""


class ProgressLine:
    """One line of progress: it is updated in place on a terminal, and repeated elsewhere.

    :param prefix: text at the start of the line.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._next_line = time.monotonic() + LINE_INTERVAL
        self._live: Any = None
        if sys.stderr.isatty():
            try:
                from rich.console import Console
                from rich.live import Live
            except ImportError:
                return
            console = Console(stderr=True, highlight=False)
            self._live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> ProgressLine:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: RunState) -> None:
        """Show the progress of a run."""
        self.text(
            f"{state.phase} {state.share:4.0%}  sent {state.sent:,}  received {state.received:,}"
            f"  missed {state.missed:,}"
        )

    def text(self, text: str) -> None:
        """Show a line."""
        line = f"{self.prefix}{text}"
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(line, overflow="ellipsis", no_wrap=True))
            return
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + LINE_INTERVAL
            print(line, file=sys.stderr, flush=True)


def measure_until_ended(run: Run, ending: EndingSignals) -> Result:
    """Measure one run; the first Ctrl-C or SIGTERM ends it early, with a result."""
    with ProgressLine() as line:
        run.on_progress = line.show
        return ending.run(run.measure, run.stop)
