"""The bus in memory: what its methods do, repeatable runs, and wrong use."""

from __future__ import annotations

import os
import random
import subprocess
import sys
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
    FastcoordError,
    Missed,
    NodeClosed,
    PeerDown,
    PeersUnconfirmed,
    StreamError,
    TlsError,
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


# ------------------------------------------------------------------------ repeatable runs

RUN = """
import asyncio, fastcoord
from fastcoord import AppEvent
from fastcoord.testing import Bus

def trace(message):
    print(f"{bus.clock.time() - started:.6f}", message.sender, message.receiver, message.events)

async def main():
    global started
    await bus.clock.advance(0)
    started = bus.clock.time()
    async with fastcoord.connect(bus.url, node_id=1, protocol="fastcoord-1") as one:
        async with fastcoord.connect(bus.url, node_id=2, protocol="fastcoord-1") as two:
            for node in (one, two):
                bus.lose(node, None, where=trace)
                bus.lose(node, None, published=True, where=trace)
            for number in range(20):
                await one.publish(AppEvent(1, bytes([number])))
                bus.disconnect(number % 2 + 1)
                await bus.clock.advance(number)
            print(one.stats().missed, two.stats().missed, two.stats().reconnects)

with Bus(seed={seed}) as bus:
    asyncio.run(main())
"""


def run(seed: int, hash_seed: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN.replace("{seed}", str(seed))],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_same_seed_repeats_run() -> None:
    first = run(1, hash_seed=1)
    assert first.count("\n") > 100
    assert run(1, hash_seed=2) == first
    assert run(2, hash_seed=1) != first


def test_bus_restores_random() -> None:
    random.seed(5)
    expected = [random.random() for _ in range(3)]
    random.seed(5)
    first = random.random()
    with Bus():
        random.random()
    assert [first, random.random(), random.random()] == expected


# ------------------------------------------------------------------------------ wrong use


async def test_stream_is_refused(bus: Bus) -> None:
    with pytest.raises(StreamError, match=r"LocalServer\(jetstream=True\)"):
        async with fastcoord.connect(bus.url, node_id=1, stream="AGORA"):
            pass


async def test_tls_is_refused(bus: Bus) -> None:
    with pytest.raises(TlsError, match="does not offer TLS"):
        async with fastcoord.connect(bus.url.replace("nats://", "tls://"), node_id=1):
            pass


async def test_ended_bus_is_named() -> None:
    with Bus() as bus:
        pass
    with pytest.raises(ConnectError, match="bus in memory, which has ended"):
        async with node(bus, 1):
            pass


def test_other_process_has_no_bus(bus: Bus) -> None:
    program = f"import fastcoord.blocking as b; b.connect({bus.url!r}, node_id=1)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert "other processes need a server (the fixture fastcoord_server)" in done.stderr


def test_forked_process_has_no_bus(bus: Bus) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            blocking.connect(bus.url, node_id=1)
        except BaseException as error:  # noqa: BLE001 - the parent compares the text
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as answer:
        assert b"a forked process needs a server" in answer.read()


@pytest.mark.parametrize("wrong", ["1", 1.5, True, None])
def test_wrong_nodes_are_named(bus: Bus, wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a node or its id"):
        bus.cut(wrong)


def test_wrong_arguments_are_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="name the right"):
        bus.refuse(1)
    with pytest.raises(ValueError, match="at least 1, or None"):
        bus.lose(1, 0)
    with pytest.raises(ValueError, match="0 or more"):
        bus.delay(1, -1)
    with pytest.raises(ValueError, match="node 2 cannot be on both sides"):
        bus.part([1, 2], [2, 3])
    with pytest.raises(TypeError, match="an id is not enough"):
        bus.kill_node(1)  # type: ignore[arg-type]


def test_uvloop_runs_in_real_time(bus: Bus) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def exchange() -> None:
        async with node(bus, 1) as one, node(bus, 2) as two, two.subscribe() as events:
            await one.publish(EVENT)
            assert await anext(aiter(events)) == EVENT
            bus.cut(two)
            await until(lambda: not two.is_connected)
            bus.restore(two)
            await until(lambda: two.is_connected)
            with pytest.raises(FastcoordError, match=r"cannot run the timers of uvloop\.Loop"):
                await bus.clock.advance(1)

    uvloop.run(exchange())
