"""Waiting with a limit, without losing a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["within"]

T = TypeVar("T")


async def within(awaitable: Awaitable[T], seconds: float) -> T:
    """Await something for so long at the most.

    ``asyncio.wait_for`` of Python 3.10 and 3.11 swallows a cancellation that comes in the turn in
    which what it waits for is done; here it always goes on to the caller.

    :param awaitable: a coroutine, task or future; it is cancelled when the time is over.
    :param seconds: the limit.
    :return: its result.
    :raises TimeoutError: it was not done in time, and is cancelled and ended by now.
    """
    inner = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({inner}, timeout=seconds)
    except asyncio.CancelledError:
        inner.cancel()
        await asyncio.wait({inner})
        # Looked at, so that its own error, if it had one, is not reported as never retrieved.
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
