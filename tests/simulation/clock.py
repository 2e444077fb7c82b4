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

    def show(self, when: float) -> None:
        """Set what ``when`` returns: a time on the clock of a node."""
        self._when = when

    def cancel(self) -> None:
        self._is_cancelled = True

    def cancelled(self) -> bool:
        return self._is_cancelled

    def run(self) -> None:
        if not self._is_cancelled:
            self._call(*self._arguments)


class NodeClock:
    """The clock of one node, which may jump forward or stop.

    :param shared: the clock of the world, by which timers run.
    """

    def __init__(self, shared: Clock) -> None:
        self._shared = shared
        self._ahead = 0.0
        self._stopped_at: float | None = None

    @property
    def now(self) -> float:
        return self._shared.now + self._ahead if self._stopped_at is None else self._stopped_at

    def time(self) -> float:
        return self.now

    def jump(self, seconds: float) -> None:
        self._ahead += seconds
        if self._stopped_at is not None:
            self._stopped_at += seconds

    def stop(self) -> None:
        self._stopped_at = self.now

    @property
    def is_stopped(self) -> bool:
        return self._stopped_at is not None

    def run(self) -> bool:
        """Continue after a stop; return whether it was stopped."""
        if self._stopped_at is None:
            return False
        self._ahead = self._stopped_at - self._shared.now
        self._stopped_at = None
        return True

    def is_running(self) -> bool:
        return True

    def call_soon(self, call: Callable[..., object], *arguments: Any) -> Timer:
        return self._shared.call_soon(call, *arguments)

    call_soon_threadsafe = call_soon

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> Timer:
        timer = self._shared.call_later(seconds, call, *arguments)
        timer.show(self.now + seconds)
        return timer

    def call_at(self, when: float, call: Callable[..., object], *arguments: Any) -> Timer:
        return self.call_later(when - self.now, call, *arguments)


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
