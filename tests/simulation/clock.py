"""An event loop without threads and sockets, whose clock is a number."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any


class Timer:
    """A call that waits for its time."""

    def __init__(
        self, when: float, call: Callable[..., object], arguments: tuple[Any, ...]
    ) -> None:
        self._when = when
        self._call = call
        self._arguments = arguments
        self._is_cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self._is_cancelled = True

    def cancelled(self) -> bool:
        return self._is_cancelled

    def run(self) -> None:
        if not self._is_cancelled:
            self._call(*self._arguments)


class Clock:
    """What senders and presence use of an event loop. Time passes only in ``advance``."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._ready: deque[Timer] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def is_running(self) -> bool:
        return True

    def call_soon(self, call: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(self.now, call, arguments)
        self._ready.append(timer)
        return timer

    call_soon_threadsafe = call_soon

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> Timer:
        return self.call_at(self.now + seconds, call, *arguments)

    def call_at(self, when: float, call: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(when, call, arguments)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def run_ready(self) -> None:
        """Run the calls that are due now."""
        while self._ready:
            self._ready.popleft().run()

    def advance(self, seconds: float) -> None:
        """Let time pass, and run the calls that become due."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            timer.run()
            self.run_ready()
        self.now = end
