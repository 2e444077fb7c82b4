"""Faults of connections: those of the bus in memory are those of a real network.

Each scenario runs in both worlds: on a bus in memory, and on a real server with proxies. What a
subscription delivers, the stats and the errors must be the same.
"""

from __future__ import annotations

import pytest

from fastcoord import (
    AppEvent,
    ConnectError,
    Disconnected,
    Node,
    Reconnected,
)
from support.worlds.both import Facts, in_both
from support.worlds.world import (
    Seen,
    World,
    introduced,
    losses,
    published,
    send,
    text_of,
)


async def is_subscribed(node: Node) -> None:
    """Wait until the server has processed the subscriptions of a node that has reconnected."""
    await node.ping(1)


async def test_cut_is_reset() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await send(peer, b"before")
            await seen.event(b"before")
            await world.cut(2)
            await seen.notice(Disconnected)
            await send(peer, b"lost", b"lost")
            await node.publish(AppEvent(1, b"waits"))
            assert node.stats().waiting == 1
            await world.restore(2)
            await seen.notice(Reconnected)
            await is_subscribed(node)
            await send(peer, b"after")
            await seen.event(b"after")
            await node.flush()
            return [seen.facts, losses(node), published(node), losses(peer)]

    facts, *_ = await in_both(scenario)
    assert facts[:2] == ["before", "Disconnected(reason='Connection reset by peer')"]
    assert facts[-1] == "after"


async def test_disconnected_node_returns() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.disconnect(2)
            await seen.notice(Reconnected)
            await is_subscribed(node)
            await send(peer, b"after")
            await seen.event(b"after")
            return [seen.facts, losses(node), published(node)]

    facts, *_ = await in_both(scenario)
    assert facts == [
        "Disconnected(reason='Connection reset by peer')",
        "Missed(node_id=None, events=None, cause='disconnect', messages=None)",
        "Reconnected(server='SERVER')",
        "after",
    ]


async def test_cut_refuses_attempts() -> None:
    async def scenario(world: World) -> Facts:
        await world.cut(1)
        with pytest.raises(ConnectError) as refused:
            async with world.node(1):
                pass
        return [text_of(refused.value)]

    (text,) = await in_both(scenario)
    assert "Connection refused" in text


async def test_long_stall_ends_connection() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.stall(2)
            await seen.notice(Disconnected)
            await send(peer, b"lost")
            await world.restore(2)
            await seen.notice(Reconnected)
            await is_subscribed(node)
            await send(peer, b"after")
            await seen.event(b"after")
            return [seen.facts, losses(node)]

    facts, _ = await in_both(scenario)
    assert "no PONG from the server for 1.5 heartbeats" in facts[0]


async def test_short_stall_loses_nothing() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.stall(2)
            await send(peer, b"first", b"second")
            assert node.stats().received == 0
            await world.restore(2)
            await seen.event(b"second")
            return [seen.facts, losses(node), published(node)]

    facts, *_ = await in_both(scenario)
    assert facts == ["first", "second"]


async def test_lost_message_is_gap() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.lose(2, 2)
            await send(peer, b"lost", b"lost", b"after")
            await seen.event(b"after")
            return [seen.facts, losses(node), losses(peer)]

    facts, lost, _ = await in_both(scenario)
    assert facts == ["Missed(node_id=1, events=2, cause='gap', messages=None)", "after"]
    assert lost["missed"] == {"gap": 2}


async def test_lost_tail_is_found() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.lose(2, 1)
            await send(peer, b"lost")
            await seen.until(lambda item: True)
            return [seen.facts, losses(node)]

    facts, _ = await in_both(scenario)
    assert facts == ["Missed(node_id=1, events=1, cause='gap', messages=None)"]


async def test_lost_publication_misses_everywhere() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as first,
            world.node(2) as second,
            world.node(3) as node,
            first.subscribe() as one,
            second.subscribe() as two,
        ):
            await introduced(first, second, node)
            seen = Seen(one), Seen(two)
            await world.lose(3, 1, published=True)
            await send(node, b"lost", b"after")
            for each in seen:
                await each.event(b"after")
            return [seen[0].facts, seen[1].facts, losses(first), published(node)]

    one, two, *_ = await in_both(scenario)
    assert one == two == ["Missed(node_id=3, events=1, cause='gap', messages=None)", "after"]


async def test_delay_takes_time_in_both_directions() -> None:
    async def scenario(world: World) -> Facts:
        async with world.node(1) as peer, world.node(2) as node, node.subscribe() as events:
            await introduced(peer, node)
            await world.delay(2, 0.1)
            round_trip = await node.ping(1)
            assert 0.199 <= round_trip < 1
            await send(peer, b"late")
            seen = Seen(events)
            await seen.event(b"late")
            await world.delay(2, 0)
            return [seen.facts, losses(node)]

    await in_both(scenario)
