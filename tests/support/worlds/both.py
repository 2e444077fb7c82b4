"""Run a scenario in both worlds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastcoord import Node, Reconnected
from support.worlds.on_bus import on_bus
from support.worlds.on_server import on_server
from support.worlds.world import Seen, World, introduced, send

Facts: TypeAlias = list[Any]


async def in_both(scenario: Callable[[World], Awaitable[Facts]]) -> Facts:
    """Run a scenario in both worlds, compare what it returns, and return it."""
    async with on_server() as server:
        expected = await scenario(server)
    async with on_bus() as bus:
        assert await scenario(bus) == expected
    return expected


@dataclass(frozen=True)
class Pair:
    """Two nodes that know each other.

    :ivar peer: the node with id 1.
    :ivar node: the node with id 2.
    :ivar seen: what a subscription of ``node`` delivers, with the notices of its connection.
    """

    world: World
    peer: Node
    node: Node
    seen: Seen

    async def receives_again(self) -> None:
        """Wait until ``node`` has reconnected, and then has received an event ``after``."""
        await self.seen.notice(Reconnected)
        # The answer follows the server's processing of the subscriptions.
        await self.node.ping(1)
        await send(self.peer, b"after")
        await self.seen.event(b"after")


async def pair_in_both(scenario: Callable[[Pair], Awaitable[Facts]]) -> Facts:
    """Run a scenario with two nodes in both worlds, compare what it returns, and return it."""

    async def with_nodes(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            return await scenario(Pair(world, peer, node, Seen(events)))

    return await in_both(with_nodes)
