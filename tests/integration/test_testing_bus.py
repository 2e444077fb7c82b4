"""The bus in memory: what its methods do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import fastcoord
from fastcoord import (
    AppEvent,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    Missed,
    NodeClosed,
    PeerDown,
    PeersUnconfirmed,
    blocking,
)
from fastcoord.testing import Bus, Message
from support.wait import until
from support.worlds.world import introduced, send

EVENT = AppEvent(1, b"event")
ORDERED = 54_321


@fastcoord.event(kind=ORDERED)
class Ordered(msgspec.Struct, frozen=True):
    item: str


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as running:
        yield running


def node(bus: Bus, node_id: int, **settings: Any) -> Any:
    return fastcoord.connect(bus.url, node_id=node_id, protocol="fastcoord-1", **settings)


# --------------------------------------------------------------------------------- faults


async def test_disconnect_allows_reconnecting(bus: Bus) -> None:
    async with node(bus, 1) as one:
        bus.disconnect(one)
        await until(lambda: not one.is_connected)
        await until(lambda: one.is_connected)
        assert one.stats().reconnects == 1


async def test_fault_precedes_node(bus: Bus) -> None:
    bus.cut(1)
    with pytest.raises(ConnectError, match="Connection refused"):
        async with node(bus, 1):
            pass
    async with node(bus, 2):
        bus.restore(1)
    async with node(bus, 1):
        pass


async def test_stalled_attempt_times_out(bus: Bus) -> None:
    bus.stall(1)
    before = bus.clock.time()
    with pytest.raises(ConnectTimeout, match="to the TCP connection"):
        async with node(bus, 1):
            pass
    assert bus.clock.time() - before > 1


async def test_frozen_server_does_not_greet(bus: Bus) -> None:
    bus.freeze()
    with pytest.raises(ConnectTimeout, match="no INFO"):
        async with node(bus, 1):
            pass


async def test_chosen_messages_are_lost(bus: Bus) -> None:
    seen: list[Message] = []

    def where(message: Message) -> bool:
        seen.append(message)
        return message.events == (AppEvent(1, b"second"),)

    async with node(bus, 1) as one, node(bus, 2) as two, two.subscribe() as events:
        await introduced(one, two)
        bus.lose(two, None, where=where)
        await send(one, b"first", b"second", b"third", b"second", b"fourth")
        received = aiter(events)
        assert [await anext(received) for _ in range(5)] == [
            *(AppEvent(1, b"first"), Missed(1, 1, "gap"), AppEvent(1, b"third")),
            *(Missed(1, 1, "gap"), AppEvent(1, b"fourth")),
        ]
        message = next(each for each in seen if each.events)
        assert (message.sender, message.receiver, message.subject) == (1, 2, "fastcoord.agora")
        assert "from node 1 to node 2" in repr(message)


async def test_message_has_own_events(bus: Bus) -> None:
    seen: list[object] = []

    def where(message: Message) -> bool:
        seen.extend(message.events)
        return False

    async with node(bus, 1) as one, node(bus, 2) as two:
        await introduced(one, two)
        bus.lose(two, None, where=where)
        await one.publish(Ordered("tea"), AppEvent(ORDERED, b"\xff"))
        await one.flush(peers=True)
    assert seen == [Ordered("tea"), AppEvent(ORDERED, b"\xff")]


async def test_groups_are_parted(bus: Bus) -> None:
    async with node(bus, 1) as one, node(bus, 2) as two, node(bus, 3) as three:
        await introduced(one, two, three)
        bus.part([one, 2], three)
        await send(one, b"event")
        with pytest.raises(PeersUnconfirmed) as unconfirmed:
            await one.flush(peers=True)
        assert unconfirmed.value.missing == {3}
        assert (two.stats().received, three.stats().received) == (1, 0)
        bus.heal()
        await introduced(one, two, three)


async def test_killed_node_ends(bus: Bus) -> None:
    async with node(bus, 1) as one, node(bus, 2) as two, two.subscribe() as events:
        await introduced(one, two)
        bus.kill_node(two)
        assert [event async for event in events] == []
        with pytest.raises(NodeClosed, match="node 2 was killed"):
            await two.publish(EVENT)
        await until(lambda: [peer.is_up for peer in one.peers()] == [False])


async def test_killed_node_sends_nothing_more(bus: Bus) -> None:
    async with node(bus, 1) as one, node(bus, 2) as two:
        await introduced(one, two)
        bus.kill_node(two)
        two.publish_nowait(EVENT)
        await bus.clock.advance(60)
        assert one.stats().received == 0


async def test_restarted_node_is_another_run(bus: Bus) -> None:
    async with node(bus, 1) as one, node(bus, 2) as two, one.subscribe() as events:
        await introduced(one, two)
        await send(two, b"before")
        again = await bus.restart_node(two)
        async with again:
            assert again.node_id == 2
            assert again.stats().incarnation != two.stats().incarnation
            await send(again, b"after")
            received = aiter(events)
            assert [await anext(received) for _ in range(3)] == [
                *(AppEvent(1, b"before"), Missed(2, None, "gap"), AppEvent(1, b"after")),
            ]


async def test_max_reconnects_gives_up(bus: Bus) -> None:
    async with node(bus, 1, max_reconnects=3) as one:
        bus.cut(one)
        await bus.clock.advance(60)
        with pytest.raises(ConnectionLost, match="none of 3 attempts"):
            await one.publish(EVENT)


async def test_auto_ids_work(bus: Bus) -> None:
    async with (
        fastcoord.connect(bus.url, node_id="auto") as one,
        fastcoord.connect(bus.url, node_id="auto") as two,
    ):
        assert one.node_id != two.node_id
        await introduced(one, two)
        bus.cut(two)
        await bus.clock.advance(30)
        assert not two.is_connected


def test_blocking_node_is_killed(bus: Bus) -> None:
    with (
        blocking.connect(bus.url, node_id=1) as one,
        blocking.connect(bus.url, node_id=2) as two,
        one.subscribe(kinds=[PeerDown], timeout=60) as events,
    ):
        one.ping(2)
        bus.kill_node(two)
        bus.clock.advance_blocking(30)
        received = iter(events)
        assert next(received) == Missed(2, None, "gap")
        assert next(received) == PeerDown(2, goodbye=False)
