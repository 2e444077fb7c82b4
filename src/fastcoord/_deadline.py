"""Check time limits, and await with one without losing a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import SupportsFloat, TypeVar

__all__ = ["limit_of", "seconds_of", "within"]

T = TypeVar("T")


def seconds_of(timeout: object) -> float:
    """Check a ``timeout`` that a program has passed.

    :param timeout: a number of seconds; ``math.inf`` for no limit.
    :return: the number as a float.
    :raises TypeError: it is not a number.
    :raises ValueError: it is negative, NaN or too large for a float.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, SupportsFloat):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r:.60}")
    try:
        seconds = float(timeout)
    except OverflowError:
        raise ValueError("timeout is too large: pass math.inf for no limit") from None
    if not seconds >= 0:  # NaN compares as false
        raise ValueError(f"timeout must be a number of seconds, 0 or more, not {timeout!r:.60}")
    return seconds


def limit_of(timeout: object) -> float | None:
    """Check a ``timeout`` like ``seconds_of``; ``None`` is allowed and stands for the default."""
    return None if timeout is None else seconds_of(timeout)


async def within(awaitable: Awaitable[T], seconds: float) -> T:
    """Await something with a time limit.

    ``asyncio.wait_for`` of Python 3.10 and 3.11 swallows a cancellation that arrives in the same
    iteration of the event loop as the result; this function always raises it.

    :param awaitable: a coroutine, task or future; it is cancelled at the limit.
    :param seconds: the limit.
    :return: the result of the awaitable.
    :raises TimeoutError: the limit was reached; the awaitable was cancelled and has ended.
    """
    inner = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({inner}, timeout=seconds)
    except asyncio.CancelledError:
        inner.cancel()
        await asyncio.wait({inner})
        # Retrieve the exception, so that asyncio does not log it as never retrieved.
        if not inner.cancelled():
            inner.exception()
        raise
    if inner.done():
        return inner.result()
    inner.cancel()
    await asyncio.wait({inner})
    if not inner.cancelled() and inner.exception() is None:
        return inner.result()
    raise TimeoutError(f"not done within {seconds:g} s")
