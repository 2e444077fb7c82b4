"""Faults of connections: those of the bus in memory are those of a real network.

Each scenario runs in both worlds: on a bus in memory, and on a real server with proxies. What a
subscription delivers, the stats and the errors must be the same.
"""

from __future__ import annotations

from fastcoord import AppEvent, ConnectError, Disconnected
from support.worlds.both import Facts, Pair, in_both, pair_in_both
from support.worlds.world import Seen, World, introduced, losses, published, refusal, send


async def test_cut_is_reset() -> None:
    async def scenario(pair: Pair) -> Facts:
        await send(pair.peer, b"before")
        await pair.seen.event(b"before")
        await pair.world.cut(2)
        await pair.seen.notice(Disconnected)
        await send(pair.peer, b"lost", b"lost")
        await pair.node.publish(AppEvent(1, b"waits"))
        assert pair.node.stats().waiting == 1
        await pair.world.restore(2)
        await pair.receives_again()
        await pair.node.flush()
        return [pair.seen.facts, losses(pair.node), published(pair.node), losses(pair.peer)]

    facts, *_ = await pair_in_both(scenario)
    assert facts[:2] == ["before", "Disconnected(reason='Connection reset by peer')"]
    assert facts[-1] == "after"


async def test_disconnected_node_returns() -> None:
    async def scenario(pair: Pair) -> Facts:
        await pair.world.disconnect(2)
        await pair.receives_again()
        return [pair.seen.facts, losses(pair.node), published(pair.node)]

    facts, *_ = await pair_in_both(scenario)
    assert facts == [
        "Disconnected(reason='Connection reset by peer')",
        "Missed(node_id=None, events=None, cause='disconnect', messages=None)",
        "Reconnected(server='SERVER')",
        "after",
    ]


async def test_cut_refuses_attempts() -> None:
    async def scenario(world: World) -> Facts:
        await world.cut(1)
        return [await refusal(world, 1, ConnectError)]

    (text,) = await in_both(scenario)
    assert "Connection refused" in text


async def test_long_stall_ends_connection() -> None:
    async def scenario(pair: Pair) -> Facts:
        await pair.world.stall(2)
        await pair.seen.notice(Disconnected)
        await send(pair.peer, b"lost")
        await pair.world.restore(2)
        await pair.receives_again()
        return [pair.seen.facts, losses(pair.node)]

    facts, _ = await pair_in_both(scenario)
    assert "no PONG from the server for 1.5 heartbeats" in facts[0]


async def test_short_stall_loses_nothing() -> None:
    async def scenario(pair: Pair) -> Facts:
        await pair.world.stall(2)
        await send(pair.peer, b"first", b"second")
        assert pair.node.stats().received == 0
        await pair.world.restore(2)
        await pair.seen.event(b"second")
        return [pair.seen.facts, losses(pair.node), published(pair.node)]

    facts, *_ = await pair_in_both(scenario)
    assert facts == ["first", "second"]


async def test_lost_message_is_gap() -> None:
    async def scenario(pair: Pair) -> Facts:
        await pair.world.lose(2, 2)
        await send(pair.peer, b"lost", b"lost", b"after")
        await pair.seen.event(b"after")
        return [pair.seen.facts, losses(pair.node), losses(pair.peer)]

    facts, lost, _ = await pair_in_both(scenario)
    assert facts == ["Missed(node_id=1, events=2, cause='gap', messages=None)", "after"]
    assert lost["missed"] == {"gap": 2}


async def test_lost_tail_is_found() -> None:
    async def scenario(pair: Pair) -> Facts:
        await pair.world.lose(2, 1)
        await send(pair.peer, b"lost")
        await pair.seen.until(lambda item: True)
        return [pair.seen.facts, losses(pair.node)]

    facts, _ = await pair_in_both(scenario)
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
    async def scenario(pair: Pair) -> Facts:
        await pair.world.delay(2, 0.1)
        round_trip = await pair.node.ping(1)
        assert 0.199 <= round_trip < 10
        await send(pair.peer, b"late")
        await pair.seen.event(b"late")
        await pair.world.delay(2, 0)
        return [pair.seen.facts, losses(pair.node)]

    await pair_in_both(scenario)
