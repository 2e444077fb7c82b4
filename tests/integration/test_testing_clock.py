"""The clock of the bus in memory."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator

import pytest

import fastcoord
from fastcoord import FastcoordError, StateChange, blocking
from fastcoord.cache import Cache
from fastcoord.testing import Bus

EVENT = StateChange(7, 42, 1)


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as running:
        yield running


async def test_waiting_takes_no_time(bus: Bus) -> None:
    started, loop = time.monotonic(), asyncio.get_running_loop()
    async with fastcoord.connect(bus.url, node_id=1):
        before = loop.time()
        await asyncio.sleep(600)
        assert loop.time() - before == pytest.approx(600)
        await bus.clock.advance(600)
        assert loop.time() - before == pytest.approx(1200)
    assert time.monotonic() - started < 300


async def test_clock_stands_still_while_code_runs(bus: Bus) -> None:
    async with fastcoord.connect(bus.url, node_id=1):
        before = bus.clock.time()
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert bus.clock.time() == before


async def test_advance_runs_timers_in_order(bus: Bus) -> None:
    loop, seen = asyncio.get_running_loop(), list[float]()
    await bus.clock.advance(0)
    started = loop.time()
    for seconds in (3, 1, 2, 5):
        loop.call_later(seconds, lambda: seen.append(round(loop.time() - started, 6)))
    await bus.clock.advance(4)
    assert seen == [1, 2, 3]
    await bus.clock.advance(1)
    assert seen == [1, 2, 3, 5]


async def test_advance_finishes_what_is_due(bus: Bus) -> None:
    async with (
        fastcoord.connect(bus.url, node_id=1) as one,
        fastcoord.connect(bus.url, node_id=2) as two,
    ):
        bus.delay(2, 3)
        one.publish_nowait(EVENT)
        await bus.clock.advance(2.9)
        assert two.stats().received == 0
        await bus.clock.advance(0.1)
        assert two.stats().received == 1


async def test_threads_take_real_time(bus: Bus) -> None:
    async with fastcoord.connect(bus.url, node_id=1):
        finish = threading.Event()
        call = asyncio.create_task(asyncio.wait_for(asyncio.to_thread(finish.wait, 60), 3600))
        await asyncio.sleep(0)
        before = bus.clock.time()
        # The clock does not jump to the timeout while the thread works.
        threading.Timer(0.05, finish.set).start()
        assert await call
        assert bus.clock.time() - before < 1800


async def test_sockets_take_real_time(bus: Bus) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async with (
        fastcoord.connect(bus.url, node_id=1),
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
    ):
        before = bus.clock.time()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"line\n")
        assert await asyncio.wait_for(reader.readline(), 3600) == b"line\n"
        assert bus.clock.time() - before < 1800
        turned_at = bus.clock.time()
        await bus.clock.advance(1800)
        assert bus.clock.time() - turned_at > 1799.999
        writer.close()
        await writer.wait_closed()


def test_endless_wait_is_an_error() -> None:
    async def wait_for_ever(bus: Bus) -> None:
        bus.clock.limit = 30
        async with fastcoord.connect(bus.url, node_id=1):
            await asyncio.get_running_loop().create_future()

    with Bus() as bus, pytest.raises(FastcoordError, match="30 s have passed") as error:
        asyncio.run(wait_for_ever(bus))
    assert re.search(r"Waiting: wait_for_ever \(.*\.py, line \d+\)$", str(error.value))


async def test_advance_is_not_limited(bus: Bus) -> None:
    bus.clock.limit = 1
    async with fastcoord.connect(bus.url, node_id=1):
        await bus.clock.advance(60)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
async def test_clock_refuses_wrong_times(bus: Bus, seconds: float) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        await bus.clock.advance(seconds)
    with pytest.raises(ValueError, match="0 or more"):
        bus.clock.advance_blocking(seconds)


async def test_blocking_advance_refuses_event_loop(bus: Bus) -> None:
    async with fastcoord.connect(bus.url, node_id=1):
        with pytest.raises(FastcoordError, match=r"await clock\.advance"):
            bus.clock.advance_blocking(1)


async def test_time_continues_behind_bus() -> None:
    loop = asyncio.get_running_loop()
    with Bus() as bus:
        await bus.clock.advance(100)
        ended_at = loop.time()
    started = time.monotonic()
    await asyncio.sleep(0.05)  # the test: a sleep takes real time again
    assert loop.time() >= ended_at + 0.04
    assert time.monotonic() - started >= 0.04
    with Bus() as second:
        async with fastcoord.connect(second.url, node_id=1):
            await second.clock.advance(100)
            assert loop.time() >= ended_at + 100


async def test_max_age_follows_clock(bus: Bus) -> None:
    async with fastcoord.connect(bus.url, node_id=1, max_age="30s") as node:
        bus.cut(node)
        node.publish_nowait(EVENT)
        await bus.clock.advance(29)
        assert node.stats().discarded == 0
        await bus.clock.advance(5)
        assert node.stats().discarded == 1


async def test_cache_follows_clock(bus: Bus) -> None:
    loads: list[int] = []

    async def load(key: int) -> int:
        loads.append(key)
        return key

    async with (
        fastcoord.connect(bus.url, node_id=1) as node,
        Cache(node, load, keys=lambda event: [], stale_limit=60) as cache,
    ):
        await cache.get(1)
        bus.cut(node)
        await bus.clock.advance(50)
        await cache.get(1)
        assert loads == [1]
        await bus.clock.advance(20)
        await cache.get(1)
        assert loads == [1, 1]


def test_blocking_nodes_follow_clock(bus: Bus) -> None:
    with (
        blocking.connect(bus.url, node_id=1) as one,
        blocking.connect(bus.url, node_id=2) as two,
        two.subscribe(peers=True) as events,
    ):
        one.publish(EVENT)
        assert next(iter(events)) == EVENT
        before, started = bus.clock.time(), time.monotonic()
        bus.stall(one)
        bus.clock.advance_blocking(60)
        assert bus.clock.time() - before > 59.999
        assert time.monotonic() - started < 600
        assert two.stats().connection == "connected"
        assert one.stats().connection == "connecting"
        assert [peer.is_up for peer in two.peers()] == [False]
