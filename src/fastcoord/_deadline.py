"""Await with a time limit, without losing a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["within"]

T = TypeVar("T")


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
