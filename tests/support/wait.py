"""Waiting for conditions."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

POLL_INTERVAL = 0.005


async def until(
    condition: Callable[[], Any | Awaitable[Any]],
    *,
    timeout: float = 120.0,
    because: str | None = None,
) -> Any:
    """Wait until a condition holds.

    :param condition: a function, plain or async, that is called until its result is true.
    :param timeout: seconds; long, because it only ends a test that hangs.
    :param because: the condition in words, for the error; its source line by default.
    :return: the first true result.
    :raises AssertionError: the condition does not hold within ``timeout``.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(
                f"still not so after {timeout:g} s: {because or _source(condition)} "
                f"(last result: {result!r})"
            )
        await asyncio.sleep(POLL_INTERVAL)


def wait_until(condition: Callable[[], Any], *, timeout: float = 120.0) -> None:
    """Wait in a thread without an event loop until a condition holds.

    :param condition: a function that is called until its result is true.
    :param timeout: seconds; long, because it only ends a test that hangs.
    :raises AssertionError: the condition does not hold within ``timeout``.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, (
            f"still not so after {timeout:g} s: {_source(condition)}"
        )
        time.sleep(POLL_INTERVAL)


def _source(condition: Callable[[], Any]) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return repr(condition)
