"""Runs a test's coroutine on asyncio's event loop, and on uvloop where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

LOOPS = [
    "asyncio",
    pytest.param(
        "uvloop",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed"
        ),
    ),
]
"""For ``pytest.mark.parametrize("loop", LOOPS)`` on a test that is a plain function."""


def runner(loop: str) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return a function that runs a coroutine on a new event loop of that kind."""
    run: Callable[..., Any] = asyncio.run
    if loop == "uvloop":
        import uvloop

        run = uvloop.run
    # The loop's debug mode logs a line whenever the machine is busy.
    return partial(run, debug=False)
