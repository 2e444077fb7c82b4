"""The clock of an event loop, for code that other threads or exact measurements use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

__all__ = ["clock_of", "set_clock"]

_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, Callable[[], float]] = WeakKeyDictionary()


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return a clock that may be read from any thread and within an iteration of the loop.

    It advances as the loop's own clock. That clock cannot be used directly: the one of uvloop does
    not advance within an iteration, and has a resolution of 1 ms.

    :return: ``time.monotonic``, unless a test turns the clock of this loop.
    """
    return _clocks.get(loop, time.monotonic)


def set_clock(loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
    """Let ``clock_of`` return the clock that a test turns.

    :param loop: the event loop, whose ``time`` returns the same.
    :param clock: returns the time in seconds.
    """
    _clocks[loop] = clock
