"""Servers that stop within the handshake: attempts end in time, and leave nothing behind.

``FASTCOORD_HANDSHAKES=all`` tries every byte of every handshake instead of a sample.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import fastcoord
from fastcoord import Config, ConnectError, Node
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml, patiently_connected
from support.lag import LoopLag
from support.loops import LOOPS, runner
from support.servers.certificates import Certificates
from support.servers.interrupted import SECURE, End, InterruptedServer
from support.servers.unusable import listening, open_sockets, refused
from support.wait import until

ALL = os.environ.get("FASTCOORD_HANDSHAKES") == "all"

LIMIT = 2.0 if ALL else 0.4
"""Seconds of ``timeout.connection``. Many TLS handshakes at the same time need more."""

SLACK = 1.0
"""Seconds beyond a limit and beyond the lag of the event loop, which a busy machine causes."""

SAMPLE = 6
"""How many bytes of each handshake the test command tries."""

TOGETHER = {"plain": 100, "tls": 48}
"""How many bytes are tried at the same time; TLS handshakes keep a processor busy."""

TOGETHER_WHEN_BUSY = 8
"""How many are tried at the same time while the event loop is late: then the machine is busy."""

TIME_LIMIT = 1800
"""Seconds in which a test has tried every byte of its handshake."""


def configured(server: Any, certificates: Certificates | None, **settings: Any) -> Config:
    tls = {} if certificates is None else {"enable": True, "ca_file": certificates.ca}
    return fastcoord.parse_config(
        node_toml(
            server,
            cluster={"heartbeat": "200ms"},
            timeout={"connection": f"{LIMIT * 1000:.0f}ms"},
            tls={**tls, **settings},
        )
    )


@contextlib.asynccontextmanager
async def within(limit: float) -> AsyncIterator[None]:
    """Check that the block ends in time; a delay of the event loop itself does not count."""
    async with LoopLag() as lag:
        started = time.monotonic()
        yield
        took = time.monotonic() - started
        assert took - lag.seconds < limit + SLACK, f"took {took:.1f} s, {lag.seconds:.1f} s of lag"


async def closes_in_time(node: Node) -> None:
    async with within(1):
        await node.close(timeout=1)


async def stopped_at(stop: int, end: End, certificates: Certificates | None) -> None:
    """Connect, reconnect and close while the server stops after ``stop`` bytes."""
    async with InterruptedServer(end, certificates) as server:
        config = configured(server, certificates)
        server.stop_after = stop
        async with within(LIMIT):
            with pytest.raises(ConnectError):
                await fastcoord.connect(config)
        server.stop_after = None
        node = await patiently_connected(config)
        server.stop_after = stop
        accepted = server.accepted
        server.cut()
        await until(lambda: server.accepted >= accepted + 2)
        server.stop_after = None
        await until(lambda: node.stats().connection == "connected")
        server.stop_after = stop
        accepted = server.accepted
        server.cut()
        await until(lambda: server.accepted > accepted)
        await closes_in_time(node)
        assert node.stats().connection == "closed"


async def size_of_handshake(certificates: Certificates | None) -> int:
    async with InterruptedServer("silence", certificates) as server:
        node = await patiently_connected(configured(server, certificates))
        size = server.sent
        await node.close()
        return size


async def stopped_everywhere(end: End, certificates: Certificates | None) -> None:
    size = await size_of_handshake(certificates)
    # A TLS handshake varies by some bytes, because its signatures do.
    stops = list(range(size if certificates is None else size - 16))
    if ALL:
        # It takes longer than the time limit of a test.
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    else:
        # The seed is fixed: the test command tries the same bytes each time.
        stops = random.Random(f"{end} {certificates is None}").sample(stops, SAMPLE)
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    left = iter(stops)
    running: set[int] = set()

    async def stopped_at_the_next(lag: LoopLag) -> None:
        for stop in left:
            await until(
                lambda: not lag.is_late or len(running) < TOGETHER_WHEN_BUSY, timeout=TIME_LIMIT
            )
            running.add(stop)
            try:
                await stopped_at(stop, end, certificates)
            except BaseException as error:
                error.args = (f"stopped after {stop} of {size} bytes: {error}",)
                raise
            finally:
                running.discard(stop)

    width = TOGETHER["plain" if certificates is None else "tls"]
    started = time.monotonic()
    async with LoopLag() as lag:
        await asyncio.gather(*(stopped_at_the_next(lag) for _ in range(width)))
        took = time.monotonic() - started
        print(
            f"{len(stops)} of {size} bytes tried, at most {width} at a time, in {took:.0f} s;"
            f" the event loop was late by {lag.seconds:.0f} s"
        )
    await until(lambda: asyncio.all_tasks() == tasks, because="every task has ended")
    await until(lambda: open_sockets() <= sockets, because="every socket is closed")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("end", ["silence", "fin", "rst"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_interrupted_handshake_ends_in_time(
    certificates: Certificates, secure: bool, end: End, loop: str
) -> None:
    runner(loop)(stopped_everywhere(end, certificates if secure else None))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
def test_frozen_tls_server_is_joined_again(
    certificates: Certificates, first: bool, loop: str
) -> None:
    async def freeze_during_reconnect() -> None:
        with LocalServer(tls=certificates.server.tls(handshake_first=first)) as server:
            config = configured(server, certificates, handshake_first=first)
            nodes = [await patiently_connected(config, node_id=number) for number in range(1, 4)]
            server.kill()
            await until(lambda: not any(node.is_connected for node in nodes))
            await server.start_async()
            server.freeze()
            # All of them have begun a handshake that this server does not answer.
            await until(
                lambda: all(
                    node.stats().connection in ("tls", "connecting", "subscribing")
                    for node in nodes
                )
            )
            await asyncio.sleep(2 * LIMIT)
            server.thaw()
            await until(lambda: all(node.stats().connection == "connected" for node in nodes))
            for node in nodes:
                await closes_in_time(node)

    runner(loop)(freeze_during_reconnect())


async def test_silent_tls_handshake_is_named(certificates: Certificates) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        await reader.read()

    async with listening(silent) as address:
        tls = {"enable": True, "handshake_first": True, "ca_file": certificates.ca}
        text, error, _ = await refused(address, tls=tls, timeout={"connection": "300ms"})
        assert isinstance(error, TimeoutError)
        assert "no answer within 0.3 s (timeout.connection) to the TLS handshake" in text


@pytest.mark.parametrize(("end", "word"), [("fin", "closed"), ("rst", "reset")])
async def test_interrupted_tls_handshake_is_named(
    certificates: Certificates, end: End, word: str
) -> None:
    size = await size_of_handshake(None)
    async with InterruptedServer(end, certificates) as server:
        server.stop_after = size + 20  # behind INFO, which is longer by the TLS key
        with pytest.raises(fastcoord.TlsError) as caught:
            await fastcoord.connect(configured(server, certificates))
        assert f"the server {word} the connection during the TLS handshake" in str(caught.value)


@pytest.mark.parametrize("loop", LOOPS)
def test_late_info_leaves_no_task(
    certificates: Certificates, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SECURE)
        # INFO arrives in the iteration in which the attempt has reached its limit.
        time.sleep(2 * LIMIT)  # noqa: ASYNC251
        await reader.read()

    async def connect_too_late() -> None:
        async with listening(late) as address:
            tasks = asyncio.all_tasks()
            with pytest.raises(ConnectError):
                await fastcoord.connect(configured(address, certificates))
            await until(lambda: not [task for task in asyncio.all_tasks() - tasks if is_own(task)])

    def is_own(task: asyncio.Task[Any]) -> bool:
        return "Connection" in repr(task.get_coro())

    runner(loop)(connect_too_late())
    assert "asyncio" not in {record.name for record in caplog.records}
