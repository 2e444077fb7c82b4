"""Show the progress of measured runs: one line that is updated in place on a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from fastcoord.errors import ServerNotFound

if TYPE_CHECKING:
    from fastcoord.cli.ending import EndingSignals
    from fastcoord.tuning.result import Result
    from fastcoord.tuning.run import Run, RunState

__all__ = ["INVALID", "MISSED_OBJECTIVE", "ProgressLine", "failure_text", "measure_until_ended"]

MISSED_OBJECTIVE = 1
INVALID = 3
LINE_INTERVAL = 2.0
"""Seconds between two lines about the same step if standard error is not a terminal."""


def failure_text(error: Exception, run: str) -> str:
    """Describe why there is no result.

    :param run: what is said about the run if one was tried: ``"the run is not valid"``.
    """
    from fastcoord.tuning.load import LibraryMissing

    if isinstance(error, (LibraryMissing, ServerNotFound)):
        return str(error)
    return f"{run}: {error}"


class ProgressLine:
    """One line of progress: it is updated in place on a terminal, and repeated elsewhere.

    :param prefix: text at the start of the line.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._next_line = 0.0
        self._step = ""
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
            f"  missed {state.missed:,}",
            state.phase,
        )

    def text(self, text: str, step: str) -> None:
        """Show a line.

        :param step: what is being done; the first line about a step is shown at once.
        """
        line, step = f"{self.prefix}{text}", f"{self.prefix}{step}"
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(line, overflow="ellipsis", no_wrap=True))
            return
        now = time.monotonic()
        if step != self._step or now >= self._next_line:
            self._step, self._next_line = step, now + LINE_INTERVAL
            print(line, file=sys.stderr, flush=True)


def measure_until_ended(run: Run, ending: EndingSignals) -> Result:
    """Measure one run; the first Ctrl-C or SIGTERM ends it early, with a result."""
    with ProgressLine() as line:
        run.on_progress = line.show
        return ending.run(run.measure, run.stop)
