"""Run a scenario in both worlds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from support.worlds.on_bus import on_bus
from support.worlds.on_server import on_server
from support.worlds.world import World

Facts: TypeAlias = list[Any]


async def in_both(scenario: Callable[[World], Awaitable[Facts]]) -> Facts:
    """Run a scenario in both worlds, compare what it returns, and return it."""
    async with on_server() as server:
        expected = await scenario(server)
    async with on_bus() as bus:
        assert await scenario(bus) == expected
    return expected
