"""A timer that continues after an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["RepeatingTimer"]


class RepeatingTimer:
    """Call a function periodically, even if exceptions interrupt the timer.

    The callback of a timer schedules its next run. A signal handler may raise before the callback
    does that, and scheduling may raise ``MemoryError``. Therefore there are two timers, and each
    one restarts the other.

    :param interval: the interval in seconds.
    :param function: called without arguments. After an exception, it may be called early.
    """

    def __init__(self, interval: float, function: Callable[[], object]) -> None:
        self._interval = interval
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._guard: asyncio.TimerHandle | None = None
        self._is_running = False

    def start(self) -> None:
        """Schedule the first call."""
        self._is_running = True
        self._schedule()
        self._schedule_guard()

    def stop(self) -> None:
        """Cancel the next call."""
        self._is_running = False
        for handle in (self._timer, self._guard):
            if handle is not None:
                handle.cancel()
        self._timer = self._guard = None

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._run)

    def _schedule_guard(self) -> None:
        self._guard = self._loop.call_later(2 * self._interval, self._run_guard)

    def _is_overdue(self, handle: asyncio.TimerHandle | None) -> bool:
        return handle is None or handle.when() + self._interval < self._loop.time()

    def _run(self) -> None:
        if self._is_running:
            self._schedule()
            if self._is_overdue(self._guard):
                self._schedule_guard()
            self._function()

    def _run_guard(self) -> None:
        if self._is_running:
            self._schedule_guard()
            if self._is_overdue(self._timer):
                self._schedule()
                self._function()
