"""The bus in memory: repeatable runs, and wrong use."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import fastcoord
from fastcoord import (
    AppEvent,
    ConnectError,
    FastcoordError,
    StreamError,
    TlsError,
    blocking,
)
from fastcoord.testing import Bus
from support.wait import until

EVENT = AppEvent(1, b"event")


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as running:
        yield running


def node(bus: Bus, node_id: int, **settings: Any) -> Any:
    return fastcoord.connect(bus.url, node_id=node_id, protocol="fastcoord-1", **settings)


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


# Python 3.12 warns of a fork in a process with threads, which other tests may have left behind.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
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
