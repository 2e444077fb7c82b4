"""Each fault of the bus in memory is the one that a real server or a real network makes.

Each scenario runs in both worlds: on a bus in memory, and on a real server with proxies. What a
subscription delivers, the stats and the errors must be the same.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fastcoord import (
    AppEvent,
    AuthenticationFailed,
    ConnectError,
    Disconnected,
    Node,
    PeerDown,
    PeerUp,
    PermissionDenied,
    Reconnected,
)
from support.wait import until
from support.worlds.on_bus import on_bus, parted_on_bus
from support.worlds.on_server import on_server, parted_on_servers
from support.worlds.world import (
    SUBJECT,
    PartedWorld,
    Seen,
    World,
    introduced,
    losses,
    published,
    send,
    text_of,
)

Facts = list[Any]


async def in_both(scenario: Callable[[World], Awaitable[Facts]]) -> Facts:
    """Run a scenario in both worlds, compare what it returns, and return it."""
    async with on_server() as server:
        expected = await scenario(server)
    async with on_bus() as bus:
        assert await scenario(bus) == expected
    return expected


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


async def test_refused_publishing_keeps_events() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            peer.subscribe() as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.refuse(2, publish=SUBJECT)
            node.publish_nowait(AppEvent(1, b"kept"))
            with pytest.raises(PermissionDenied) as refused:
                await node.flush()
            before = published(node)
            healthy = text_of(node.health())
            await world.restore(2)
            await until(lambda: node.stats().waiting == 0)
            await seen.event(b"kept")
            return [str(refused.value), before, healthy, published(node), seen.facts, losses(peer)]

    text, before, *_ = await in_both(scenario)
    assert "does not permit this user to publish" in text
    assert (before["confirmed"], before["waiting"]) == (0, 1)


async def test_refused_subscribing_is_absence() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.refuse(2, subscribe=SUBJECT)
            await until(lambda: not node.health())
            health = text_of(node.health())
            await send(peer, b"lost")
            await world.restore(2)
            await until(node.health)
            await send(peer, b"after")
            await seen.event(b"after")
            return [health, seen.facts, losses(node), published(node)]

    _, facts, *_ = await in_both(scenario)
    assert facts[0].startswith("Missed(")
    assert facts[-1] == "after"


async def test_refused_credentials_fail_alike() -> None:
    async def scenario(world: World) -> Facts:
        await world.refuse_credentials(1)
        with pytest.raises(AuthenticationFailed) as refused:
            async with world.node(1):
                pass
        return [text_of(refused.value)]

    await in_both(scenario)


async def test_missing_right_fails_alike() -> None:
    async def scenario(world: World) -> Facts:
        await world.refuse(1, publish=SUBJECT)
        with pytest.raises(PermissionDenied) as refused:
            async with world.node(1):
                pass
        return [text_of(refused.value)]

    await in_both(scenario)


async def test_refused_connections_fail_alike() -> None:
    async def scenario(world: World) -> Facts:
        async with world.node(1) as connected:
            await world.refuse_connections()
            with pytest.raises(ConnectError) as refused:
                async with world.node(2):
                    pass
            await connected.publish(AppEvent(1, b"still"))
            await connected.flush()
            return [text_of(refused.value), published(connected)]

    await in_both(scenario)


async def test_killed_server_loses_no_accepted_event() -> None:
    async def scenario(world: World) -> Facts:
        async with (
            world.node(1) as peer,
            world.node(2) as node,
            node.subscribe(connection=True) as events,
        ):
            await introduced(peer, node)
            seen = Seen(events)
            await world.kill()
            reason = (await seen.notice(Disconnected)).reason
            await until(lambda: not peer.is_connected)
            await peer.publish(AppEvent(1, b"waits"))
            before = published(peer)
            await world.start()
            await seen.event(b"waits")
            await peer.flush()
            facts = [text for text in seen.facts if text.startswith(("Missed", "waits"))]
            return [reason, before, facts, losses(node), published(peer)]

    reason, *_ = await in_both(scenario)
    assert reason == "the server closed the connection"


async def test_frozen_server_is_given_up() -> None:
    async def scenario(world: World) -> Facts:
        async with world.node(1) as node, node.subscribe(connection=True) as events:
            seen = Seen(events)
            await world.freeze()
            await seen.notice(Disconnected)
            await world.thaw()
            await seen.notice(Reconnected)
            return [seen.facts, published(node)]

    facts, _ = await in_both(scenario)
    assert "no PONG from the server for 1.5 heartbeats" in facts[0]


async def test_killed_node_says_no_goodbye() -> None:
    async def scenario(world: World) -> Facts:
        async with world.node(1) as node, node.subscribe(peers=True) as events:
            seen = Seen(events)
            async with world.short_lived_node(2, 3):
                await seen.notice(PeerUp)
                await world.kill_node()
                await seen.notice(PeerDown)
            return [seen.facts, losses(node)]

    facts, _ = await in_both(scenario)
    assert facts[-2:] == [
        "Missed(node_id=2, events=None, cause='gap', messages=None)",
        "PeerDown(node_id=2, goodbye=False)",
    ]


async def test_closed_node_says_goodbye() -> None:
    async def scenario(world: World) -> Facts:
        async with world.node(1) as node, node.subscribe(peers=True) as events:
            seen = Seen(events)
            async with world.node(2) as other:
                await seen.notice(PeerUp)
                await send(other, b"event")
            await seen.notice(PeerDown)
            return [seen.facts, losses(node)]

    facts, _ = await in_both(scenario)
    assert facts[-1] == "PeerDown(node_id=2, goodbye=True)"


async def test_restarted_node_begins_anew() -> None:
    async def scenario(world: World) -> Facts:
        async with world.node(1) as node, node.subscribe(peers=True) as events:
            seen = Seen(events)
            async with world.short_lived_node(2, 3):
                await until(lambda: node.stats().received == 3)
                await world.kill_node()
                async with world.short_lived_node(2, 2):
                    await until(lambda: node.stats().received == 5)
                    await world.kill_node()
                    await seen.notice(PeerDown)
            return [[text for text in seen.facts if "PeerUp" not in text], losses(node)]

    facts, _ = await in_both(scenario)
    assert facts[:6] == [
        *["short"] * 3,
        "Missed(node_id=2, events=None, cause='gap', messages=None)",
        *["short"] * 2,
    ]


async def test_parted_routes_separate_nodes() -> None:
    async def scenario(world: PartedWorld) -> Facts:
        async with world.node(1) as one, world.node(2) as two:
            await introduced(one, two)
            seen = Seen(two.subscribe(peers=True, connection=True))
            await send(one, b"before")
            await seen.event(b"before")
            await world.part()
            await send(one, b"lost", b"lost")
            await seen.notice(PeerDown)
            await until(lambda: not one.peers()[0].is_up)
            await world.heal()
            await seen.notice(PeerUp)
            await send(one, b"after")
            await seen.event(b"after")
            await introduced(one, two)
            return [seen.facts, losses(two), published(one), published(two)]

    async with parted_on_servers() as servers:
        expected = await scenario(servers)
    async with parted_on_bus() as bus:
        assert await scenario(bus) == expected
    facts, lost, *_ = expected
    assert "PeerDown(node_id=1, goodbye=False)" in facts
    assert lost["missed"] == {"gap": 2}


async def test_scenarios_take_no_time_on_bus() -> None:
    started = time.monotonic()
    async with on_bus() as world, world.node(1) as node, node.subscribe(peers=True) as events:
        seen = Seen(events)
        async with world.short_lived_node(2, 1):
            await world.kill_node()
            await seen.notice(PeerDown)
    assert time.monotonic() - started < 60
