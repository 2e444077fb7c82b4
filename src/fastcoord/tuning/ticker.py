"""A timer that wakes an event loop at fixed times, more exactly than the loop's own timers.

Timers of asyncio and uvloop are rounded to milliseconds, which is longer than the measured times.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import time
from typing import Any

__all__ = ["Ticker"]

CLOCK_MONOTONIC = 1
TFD_TIMER_ABSTIME = 1
TFD_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
TFD_CLOEXEC = getattr(os, "O_CLOEXEC", 0)


class TimerSpec(ctypes.Structure):
    """``struct itimerspec``."""

    _fields_ = tuple(
        (name, ctypes.c_long)
        for name in ("interval_seconds", "interval_ns", "first_seconds", "first_ns")
    )


class Ticker:
    """Tick at ``start`` and then every ``interval``.

    Without timerfd, which only Linux has, the ticks come from the timers of the event loop.

    :param start: nanoseconds on the clock of ``time.monotonic_ns``.
    :param interval: nanoseconds.
    """

    def __init__(self, start: int, interval: int) -> None:
        self._start, self._interval = start, interval
        self._file = -1
        self._ticked = 0
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        if sys.platform == "linux":
            self._open(start, interval)

    def _open(self, start: int, interval: int) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._file = self._library.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        spec = TimerSpec(*divmod(interval, 1_000_000_000), *divmod(start, 1_000_000_000))
        done = self._library.timerfd_settime(
            self._file, TFD_TIMER_ABSTIME, ctypes.byref(spec), None
        )
        if done < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        self._loop.add_reader(self._file, self._readable)

    def _readable(self) -> None:
        self._ticked += struct.unpack("q", os.read(self._file, 8))[0]
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> int:
        """Wait for the next tick.

        :return: the number of ticks since the last call; 1 if none was missed.
        """
        if self._file < 0:
            return await self._wait_by_loop()
        if not self._ticked:
            self._waiter = self._loop.create_future()
            await self._waiter
        ticked, self._ticked = self._ticked, 0
        return ticked

    async def _wait_by_loop(self) -> int:
        next_tick = self._start + self._ticked * self._interval
        await asyncio.sleep(max(0.0, (next_tick - time.monotonic_ns()) / 1e9))
        passed = max(next_tick, time.monotonic_ns()) - self._start
        before, self._ticked = self._ticked, passed // self._interval + 1
        return self._ticked - before

    def __enter__(self) -> Ticker:
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
