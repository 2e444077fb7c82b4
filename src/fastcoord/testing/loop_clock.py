"""The timers of one event loop, run by the clock of a bus.

An event loop of asyncio reads its clock by ``loop.time``, and waits in ``select`` of its selector
until the next timer. Both are replaced in the instance. Other event loops, such as uvloop, cannot
be changed so.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["LoopClock", "LoopClockOwner", "can_be_turned", "waiting_tasks"]

SELECTOR = "_selector"
"""The attribute of asyncio's event loops that holds the selector."""

OWN_SOCKETS = 1
"""Each event loop has a socket pair, by which other threads wake it."""


def can_be_turned(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the clock of a bus can run the timers of this event loop."""
    return isinstance(loop, asyncio.SelectorEventLoop) and hasattr(loop, SELECTOR)


def waiting_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Return where the tasks of the program wait, those of the nodes excepted."""
    places = []
    for task in asyncio.all_tasks(loop):
        for frame in task.get_stack(limit=1):
            package = str(frame.f_globals.get("__name__")).partition(".")[0]
            if package not in ("fastcoord", "nats"):
                code = frame.f_code
                places.append(f"{code.co_name} ({code.co_filename}, line {frame.f_lineno})")
    return ", ".join(sorted(places)) or "no task"


class LoopClockOwner(Protocol):
    """The clock that several event loops share."""

    def time(self) -> float:
        """Return the time in seconds."""

    def wait(self, loop_clock: LoopClock, timeout: float | None) -> list[Any]:
        """Decide how long an event loop waits that has nothing left to do."""


class LoopClock:
    """Replace the clock of one event loop, until ``detach``.

    :param clock: the clock.
    :param loop: the running event loop.
    :ivar thread: the thread that runs the event loop.
    :ivar next_timer: while the event loop waits, the time of its next timer; ``None`` if it has
        none, or does not wait.
    :ivar is_waiting: whether the event loop has nothing to do and waits.
    """

    def __init__(self, clock: LoopClockOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self.loop = loop
        self.thread = threading.get_ident()
        self.next_timer: float | None = None
        self.is_waiting = False
        self.idle: list[asyncio.Future[None]] = []
        """Futures that end when the event loop has nothing left to do at the present time."""
        self._calls = 0
        self._selector: Any = getattr(loop, SELECTOR)
        self._select: Callable[[float | None], list[Any]] = self._selector.select
        self._submit = loop.run_in_executor
        self._selector.select = self.select
        loop.time = clock.time  # type: ignore[method-assign]
        loop.run_in_executor = self._run_in_executor  # type: ignore[method-assign, assignment]

    def detach(self) -> None:
        """Let the event loop wait in real time again. Its clock does not go back."""
        if not self.loop.is_closed():
            self._selector.select = self._select
            self.loop.run_in_executor = self._submit  # type: ignore[method-assign]
            self.wake()

    @property
    def has_outside_work(self) -> bool:
        """Whether the event loop waits for threads or sockets, which the clock does not know."""
        return self._calls > 0 or len(self._selector.get_map()) > OWN_SOCKETS

    def wake(self) -> None:
        """Wake the event loop. Any thread may call this."""
        self.loop.call_soon_threadsafe(_do_nothing)

    def select(self, timeout: float | None = None) -> list[Any]:
        """Do what the selector does, but let the clock decide how long to wait."""
        ready = self._select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._clock.wait(self, timeout)

    def wait(self, timeout: float | None, next_timer: float | None) -> list[Any]:
        """Wait for sockets and threads in real time."""
        self.next_timer, self.is_waiting = next_timer, True
        try:
            return self._select(timeout)
        finally:
            self.is_waiting = False

    async def settle(self) -> None:
        """Wait until the event loop has nothing left to do at the present time."""
        idle: asyncio.Future[None] = self.loop.create_future()
        self.idle.append(idle)
        await idle

    def _run_in_executor(self, executor: Any, function: Any, *arguments: Any) -> Any:
        self._calls += 1
        try:
            result = self._submit(executor, function, *arguments)
        except BaseException:
            self._calls -= 1
            raise
        result.add_done_callback(self._called)
        return result

    def _called(self, result: object) -> None:
        self._calls -= 1


def _do_nothing() -> None:
    """Make the event loop run one iteration."""
