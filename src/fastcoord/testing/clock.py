"""The clock of a bus, which a test turns."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import Any

from fastcoord._clock import set_clock
from fastcoord.errors import FastcoordError
from fastcoord.testing.loop_clock import LoopClock, can_be_turned, waiting_tasks

__all__ = ["Clock"]

SETTLING_LIMIT = 10.0
"""The most real seconds that ``advance_blocking`` waits for a busy thread."""


class Clock:
    """The time of all nodes of a bus, and of the event loops in which they run.

    The clock stands still while something runs. When an event loop has nothing left to do, the
    clock jumps to the next timer, so that no test waits. It runs in real time while

    - the event loop waits for a thread (``run_in_executor``, ``asyncio.to_thread``) or a socket;
    - several threads have nodes, as those of ``fastcoord.blocking``.

    :ivar limit: how many seconds the clock may jump in total without ``advance``. A test that waits
        for something that never happens fails then.
    """

    def __init__(self) -> None:
        self.limit = 3600.0
        self._lock = threading.RLock()
        self._thread = threading.get_ident()
        self._loops: list[LoopClock] = []
        self._foreign: asyncio.AbstractEventLoop | None = None
        self._now: float | None = None
        self._running_since: float | None = None
        """The real time since which the clock runs in real time; ``None`` if it jumps."""
        self._jumped = 0.0
        self._targets: list[float] = []

    def time(self) -> float:
        """Return the time in seconds, as ``loop.time()`` of the event loops of the bus."""
        if self._now is None:
            return time.monotonic()
        if self._running_since is None:
            return self._now
        return self._now + time.monotonic() - self._running_since

    # ------------------------------------------------------------------------------ turning

    async def advance(self, seconds: float) -> None:
        """Let time pass: run the timers of that time in their order.

        Afterwards everything that was due is done.

        :param seconds: how much time passes.
        :raises ValueError: ``seconds`` is negative or not finite.
        :raises FastcoordError: the timers of this event loop cannot be run by the clock.
        """
        _check(seconds)
        loop = asyncio.get_running_loop()
        loop_clock = self.attach(loop)
        if loop_clock is None:
            raise self._cannot_turn(loop)
        if self._running_since is not None:
            await loop.run_in_executor(None, self.advance_blocking, seconds)
            return
        reached: asyncio.Future[None] = loop.create_future()
        target = self.time() + seconds
        timer = loop.call_at(target, _finish, reached)
        self._targets.append(target)
        try:
            await reached
        finally:
            timer.cancel()
            self._targets.remove(target)
        await loop_clock.settle()

    def advance_blocking(self, seconds: float) -> None:
        """Let time pass for the nodes of other threads, such as those of ``fastcoord.blocking``.

        :param seconds: how much time passes.
        :raises ValueError: ``seconds`` is negative or not finite.
        :raises FastcoordError: the calling thread runs a node, or the timers of a node cannot be
            run by the clock.
        """
        _check(seconds)
        if self._foreign is not None and not self._foreign.is_closed():
            raise self._cannot_turn(self._foreign)
        with self._lock:
            loops = self._running_loops()
            if any(each.thread == threading.get_ident() for each in loops):
                raise FastcoordError(
                    "advance_blocking would wait for the event loop of this thread: write await"
                    " clock.advance(...) here"
                )
            self._run_in_real_time()
        remaining = seconds
        while True:
            for each in loops:
                _wait_until_idle(each)
            timers = [each.next_timer for each in loops if each.next_timer is not None]
            step = min([remaining, *(max(0.0, timer - self.time()) for timer in timers)])
            with self._lock:
                self._now = self.time() + step
                self._running_since = time.monotonic()
            remaining -= step
            for each in loops:
                each.wake()
            if remaining <= 0:
                break
        for each in loops:
            _wait_until_idle(each)

    # ----------------------------------------------------------------------- event loops

    def attach(self, loop: asyncio.AbstractEventLoop) -> LoopClock | None:
        """Run the timers of the event loop of this thread by this clock from now on.

        :return: ``None`` if the clock cannot do that: the event loop then runs in real time.
        """
        with self._lock:
            loops = self._running_loops()
            for each in loops:
                if each.loop is loop:
                    return each
            if not can_be_turned(loop):
                self._foreign = loop
                return None
            self._now = max(loop.time(), self.time())
            if self._running_since is not None:
                self._running_since = time.monotonic()
            attached = LoopClock(self, loop)
            set_clock(loop, self.time)
            self._loops.append(attached)
            if loops or attached.thread != self._thread:
                self._run_in_real_time()
            return attached

    def detach(self) -> None:
        """Let all event loops run in real time."""
        with self._lock:
            loops = self._running_loops()
            self._run_in_real_time()
            self._loops.clear()
        for each in loops:
            each.detach()

    def wait(self, loop_clock: LoopClock, timeout: float | None) -> list[Any]:
        """Decide how long an event loop waits that has nothing left to do.

        :param timeout: the seconds until its next timer; ``None`` if it has none.
        :return: the events of the selector.
        :raises FastcoordError: the limit is reached.
        """
        next_timer = None if timeout is None else self.time() + timeout
        if loop_clock.idle:
            for future in loop_clock.idle:
                _finish(future)
            loop_clock.idle.clear()
            return []
        if self._running_since is not None or timeout is None or self._now is None:
            return loop_clock.wait(timeout, next_timer)
        is_advancing = any(self._now < target for target in self._targets)
        if loop_clock.has_outside_work and not is_advancing:
            started = time.monotonic()
            events = loop_clock.wait(timeout, next_timer)
            if self._running_since is None:
                self._now += min(time.monotonic() - started, timeout)
            return events
        if not is_advancing:
            self._jumped += timeout
            if self._jumped > self.limit:
                self._jumped = 0.0
                raise FastcoordError(
                    f"{self.limit:g} s have passed on the clock of the bus while the test waited:"
                    " what it waits for does not happen; if it needs more time, set clock.limit, or"
                    f" call clock.advance. Waiting: {waiting_tasks(loop_clock.loop)}"
                )
        self._now += timeout
        return []

    def _running_loops(self) -> list[LoopClock]:
        self._loops = [each for each in self._loops if not each.loop.is_closed()]
        return list(self._loops)

    def _run_in_real_time(self) -> None:
        if self._running_since is None:
            self._now = self.time()
            self._running_since = time.monotonic()
            for each in self._running_loops():
                each.wake()

    def _cannot_turn(self, loop: asyncio.AbstractEventLoop) -> FastcoordError:
        return FastcoordError(
            f"the clock of the bus cannot run the timers of {type(loop).__module__}."
            f"{type(loop).__name__}: run this test on the event loop of asyncio"
            " (asyncio.SelectorEventLoop)"
        )


def _check(seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"seconds must be a finite number, 0 or more, not {seconds!r}")


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _wait_until_idle(loop_clock: LoopClock) -> None:
    """Wait until the event loop of another thread has nothing left to do."""
    deadline = time.monotonic() + SETTLING_LIMIT
    for _ in range(3):
        passed = threading.Event()
        loop_clock.loop.call_soon_threadsafe(passed.set)
        passed.wait(SETTLING_LIMIT)
    while not loop_clock.is_waiting and time.monotonic() < deadline:
        time.sleep(0.0001)
