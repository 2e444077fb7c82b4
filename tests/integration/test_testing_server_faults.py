"""Faults of servers and nodes: those of the bus in memory are those of real servers and processes.

Each scenario runs in both worlds: on a bus in memory, and on a real server with proxies. What a
subscription delivers, the stats and the errors must be the same.
"""

from __future__ import annotations

import time

import pytest

from fastcoord import (
    AppEvent,
    AuthenticationFailed,
    ConnectError,
    Disconnected,
    PeerDown,
    PeerUp,
    PermissionDenied,
    Reconnected,
)
from support.wait import until
from support.worlds.both import Facts, Pair, in_both, pair_in_both
from support.worlds.on_bus import on_bus, parted_on_bus
from support.worlds.on_server import parted_on_servers
from support.worlds.world import (
    SUBJECT,
    PartedWorld,
    Seen,
    World,
    introduced,
    losses,
    published,
    refusal,
    send,
    text_of,
)


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
    async def scenario(pair: Pair) -> Facts:
        await pair.world.refuse(2, subscribe=SUBJECT)
        await until(lambda: not pair.node.health())
        health = text_of(pair.node.health())
        await send(pair.peer, b"lost")
        await pair.world.restore(2)
        await until(pair.node.health)
        await send(pair.peer, b"after")
        await pair.seen.event(b"after")
        return [health, pair.seen.facts, losses(pair.node), published(pair.node)]

    _, facts, *_ = await pair_in_both(scenario)
    assert facts[0].startswith("Missed(")
    assert facts[-1] == "after"


async def test_refused_credentials_fail_alike() -> None:
    async def scenario(world: World) -> Facts:
        await world.refuse_credentials(1)
        return [await refusal(world, 1, AuthenticationFailed)]

    await in_both(scenario)


async def test_missing_right_fails_alike() -> None:
    async def scenario(world: World) -> Facts:
        await world.refuse(1, publish=SUBJECT)
        return [await refusal(world, 1, PermissionDenied)]

    await in_both(scenario)


async def test_refused_connections_fail_alike() -> None:
    async def scenario(world: World) -> Facts:
        async with world.node(1) as connected:
            await world.refuse_connections()
            text = await refusal(world, 2, ConnectError)
            await connected.publish(AppEvent(1, b"still"))
            await connected.flush()
            return [text, published(connected)]

    await in_both(scenario)


async def test_killed_server_loses_no_accepted_event() -> None:
    async def scenario(pair: Pair) -> Facts:
        await pair.world.kill()
        reason = (await pair.seen.notice(Disconnected)).reason
        await until(lambda: not pair.peer.is_connected)
        await pair.peer.publish(AppEvent(1, b"waits"))
        before = published(pair.peer)
        await pair.world.start()
        await pair.seen.event(b"waits")
        await pair.peer.flush()
        facts = [text for text in pair.seen.facts if text.startswith(("Missed", "waits"))]
        return [reason, before, facts, losses(pair.node), published(pair.peer)]

    reason, *_ = await pair_in_both(scenario)
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
