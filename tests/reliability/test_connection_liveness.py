"""Connections that are dead in one direction or both, and those that are only slow."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from fastcoord import AppEvent
from fastcoord.server import LocalServer
from support.cluster.crowd import Crowd, crowd
from support.cluster.nodes import joined
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.loops import LOOPS, runner
from support.wait import until

HEARTBEAT = 0.4
CLUSTER = {"heartbeat": "400ms"}
SLACK = 10.0
"""Seconds that a busy machine may be late with a timer."""


async def publish_until(nodes: Crowd, index: int, stop: asyncio.Event) -> None:
    """Publish all the time, so that the others always receive something."""
    while not stop.is_set():
        await nodes.ledger.publish(nodes.nodes[index])
        await asyncio.sleep(HEARTBEAT / 20)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", ["swallow", "pause"])
def test_dead_output_is_noticed_while_input_arrives(fault: str, loop: str) -> None:
    async def cut_output() -> None:
        with LocalServer() as server:
            async with (
                Proxy(server.host, server.port) as proxy,
                crowd([proxy, server], 2, cluster=CLUSTER) as nodes,
            ):
                stop = asyncio.Event()
                publishing = asyncio.create_task(publish_until(nodes, 1, stop))
                node = nodes.nodes[0]
                await until(lambda: node.stats().received >= 10)
                getattr(proxy.to_server, fault)()
                started = time.monotonic()
                while node.stats().connection == "connected":  # noqa: ASYNC110 - for a moment
                    await asyncio.sleep(0)
                assert node.stats().connection == "suspected"
                received = node.stats().received
                await until(lambda: node.stats().connection not in ("connected", "suspected"))
                assert time.monotonic() - started <= 3 * HEARTBEAT + SLACK
                assert node.stats().received > received, "nothing was received meanwhile"
                proxy.to_server.resume()
                stop.set()
                await publishing
                await nodes.even()

    runner(loop)(cut_output())


@pytest.mark.parametrize("loop", LOOPS)
def test_frozen_server_is_noticed_by_slow_loop(loop: str) -> None:
    async def block_the_loop() -> None:
        with LocalServer() as server:
            async with joined(
                server, 1, cluster={"protocol": "fastcoord-1", "heartbeat": "200ms"}
            ) as node:
                await until(lambda: node.is_connected)
                server.freeze()
                deadline = time.monotonic() + 60
                while node.is_connected:
                    assert time.monotonic() < deadline
                    # The test: the program blocks the event loop for more than a heartbeat.
                    time.sleep(0.25)  # noqa: ASYNC251
                    await asyncio.sleep(0)
                server.thaw()

    runner(loop)(block_the_loop())


def test_slow_reader_keeps_connection(server: LocalServer) -> None:
    # uvloop reads many times in one iteration, and would not be slow.
    runner("asyncio")(slow_reader_keeps_connection(server))


async def slow_reader_keeps_connection(server: LocalServer) -> None:
    busy = HEARTBEAT / 200
    size = 4096

    async def block_each_iteration(stop: asyncio.Event) -> None:
        while not stop.is_set():
            time.sleep(busy)  # noqa: ASYNC251 - a program that leaves little time to the event loop
            await asyncio.sleep(0)

    async with (
        joined(server, 2, cluster={"protocol": "fastcoord-1", **CLUSTER}) as sender,
        joined(
            server,
            1,
            cluster={"protocol": "fastcoord-1", **CLUSTER},
            capacity={"read_buffer": size},
        ) as receiver,
    ):
        events = int(6 * HEARTBEAT / busy)
        stop = asyncio.Event()
        blocking = asyncio.create_task(block_each_iteration(stop))
        try:
            await sender.publish(*[AppEvent(1, bytes(size))] * events)
            started = time.monotonic()
            await until(lambda: receiver.stats().received == events)
            assert time.monotonic() - started > 3 * HEARTBEAT, "the PONG was not late"
        finally:
            stop.set()
            await blocking
        stats = receiver.stats()
        assert (stats.reconnects, stats.missed) == (0, {})


async def test_slow_output_keeps_connection(server: LocalServer) -> None:
    heartbeat, is_kept = HEARTBEAT, False
    while not is_kept:
        took, longest, reconnects = await send_slowly(server, heartbeat)
        assert reconnects == 0 or longest > heartbeat
        is_kept = reconnects == 0 and took > 3 * heartbeat
        # On a busy machine the output may stand still for more than a short heartbeat.
        heartbeat = max(HEARTBEAT, 4 * longest)


async def send_slowly(server: LocalServer, heartbeat: float) -> tuple[float, float, int]:
    """Send over a slow connection.

    :return: how many seconds it took, the longest time in which it sent what the buffers hold, and
        how often the node has reconnected.
    """
    sent_at: list[float] = []

    async def slowly(frame: Frame) -> Frame:
        await asyncio.sleep(HEARTBEAT / 100)
        sent_at.append(time.monotonic())
        return frame

    async with Proxy(server.host, server.port) as proxy:
        # Bytes that wait in the proxy's own buffer look delivered to the node.
        assert proxy._listener is not None
        proxy._listener.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        cluster = {"protocol": "fastcoord-1", "heartbeat": f"{heartbeat * 1000:.0f}ms"}
        async with joined(proxy, 1, cluster=cluster, timeout={"request": "1m"}) as node:
            proxy.to_server.filter = slowly
            started = time.monotonic()
            # More than the buffers between the node and the proxy hold.
            await node.publish(*[AppEvent(1, bytes(15_000))] * 600)
            await node.flush()
            took = time.monotonic() - started
            stats = node.stats()
            assert stats.confirmed == 600
            # The proxy reads from its socket again after up to ten messages.
            longest = max(
                after - before for before, after in zip(sent_at, sent_at[10:], strict=False)
            )
            return took, longest, stats.reconnects
