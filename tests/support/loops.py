"""Runs a test's coroutine on asyncio's own event loop, and on uvloop where that is installed."""

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
    """Give the function that runs a coroutine on a fresh loop of that name."""
    run: Callable[..., Any] = asyncio.run
    if loop == "uvloop":
        import uvloop

        run = uvloop.run
    # Not in the loop's own debug mode, which writes a line whenever the machine is busy.
    return partial(run, debug=False)
