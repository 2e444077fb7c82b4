"""Measure runs with progress on a terminal, and end them on Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from fastcoord.tuning.result import Result
    from fastcoord.tuning.run import Run, RunState

__all__ = [
    "INVALID",
    "MISSED_OBJECTIVE",
    "ProgressLine",
    "ending_like_interrupt",
    "measure_until_interrupted",
    "until_interrupted",
]

MISSED_OBJECTIVE = 1
INVALID = 3
LINE_INTERVAL = 2.0
"""Seconds between two lines of progress if standard error is not a terminal."""

Answer = TypeVar("Answer")


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


def measure_until_interrupted(run: Run) -> Result:
    """Measure one run; the first Ctrl-C ends it early, with a result."""
    with ProgressLine() as line:
        run.on_progress = line.show
        return until_interrupted(run.measure, run.stop)


def _ending() -> list[signal.Signals]:
    """Return the signals that end a run, without those that are ignored, as under nohup."""
    wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    return [each for each in wanted if signal.getsignal(each) is not signal.SIG_IGN]


@contextlib.contextmanager
def ending_like_interrupt() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C, so that server and files are removed."""
    before = {each: signal.getsignal(each) for each in _ending()}
    for each in before:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def until_interrupted(work: Callable[[], Awaitable[Answer]], stop: Callable[[], None]) -> Answer:
    """Run a coroutine; ask it to stop on the first Ctrl-C or SIGTERM, and cancel it on the second.

    Further ones are ignored: they would end the cleanup.

    :param work: makes the coroutine.
    :param stop: asks it to end soon.
    :return: the result of the coroutine.
    :raises KeyboardInterrupt: it was cancelled.
    """

    async def main() -> Answer:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        count = 0

        def interrupt() -> None:
            nonlocal count
            count += 1
            if count == 1:
                stop()
            elif count == 2:
                task.cancel()

        before = {each: signal.getsignal(each) for each in _ending()}
        for number in before:
            loop.add_signal_handler(number, interrupt)
        try:
            return await work()
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
