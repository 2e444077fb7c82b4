"""Many nodes behind TLS, and a server that freezes, restarts and resets connections at random.

``FASTCOORD_TLS_SECONDS`` is how long the faults go on; the test command tries a few of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import time

import pytest

import fastcoord
from fastcoord import Node
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml, patiently_connected
from support.faults.proxy import Proxy
from support.lag import LoopLag
from support.loops import LOOPS, runner
from support.servers.certificates import Certificates
from support.wait import until

NODES = 24
SECONDS = float(os.environ.get("FASTCOORD_TLS_SECONDS", "0"))
LIMIT = 2.0 if SECONDS else 1.0
"""Seconds of ``timeout.connection``."""

LONGEST_BACKOFF = 4.0
SLACK = 3.0 if SECONDS else 60.0
"""Seconds that a busy machine may be late."""


async def disturb(fault: str, server: LocalServer, proxy: Proxy, seconds: float) -> None:
    """Do one fault, and return when the server answers again."""
    if fault == "freeze":
        server.freeze()
        await asyncio.sleep(seconds)
        server.thaw()
    elif fault == "restart":
        server.kill()
        await asyncio.sleep(seconds)
        await server.start_async()
    elif fault == "restart and freeze":
        server.kill()
        await server.start_async()
        server.freeze()
        await asyncio.sleep(seconds)
        server.thaw()
    else:
        proxy.cut(reset=True)


def all_connected(nodes: list[Node]) -> bool:
    return all(node.stats().connection == "connected" for node in nodes)


async def seconds_until_back(nodes: list[Node], fault: str) -> float:
    """Wait until every node is connected. The lag of the event loop itself does not count."""
    async with LoopLag() as lag:
        started = time.monotonic()
        await until(lambda: all_connected(nodes), because=f"every node is back after: {fault}")
        took = time.monotonic() - started - lag.seconds
    assert took < LIMIT + LONGEST_BACKOFF + SLACK, f"{took:.1f} s after: {fault}"
    return took


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
def test_tls_nodes_always_come_back(certificates: Certificates, first: bool, loop: str) -> None:
    async def disturb_at_random() -> None:
        chance = random.Random(f"{first} {loop}")
        faults = ["restart and freeze", "reset", "freeze", "restart"]
        tls = {"enable": True, "ca_file": certificates.ca, "handshake_first": first}
        with LocalServer(tls=certificates.server.tls(handshake_first=first)) as server:
            async with (
                Proxy(server.host, server.port) as proxy,
                contextlib.AsyncExitStack() as stack,
            ):
                config = fastcoord.parse_config(
                    node_toml(
                        proxy,
                        cluster={"protocol": "fastcoord-1", "heartbeat": "1s"},
                        timeout={"connection": f"{LIMIT * 1000:.0f}ms"},
                        tls=tls,
                    )
                )
                nodes = [
                    await stack.enter_async_context(
                        await patiently_connected(config, node_id=number)
                    )
                    for number in range(1, NODES + 1)
                ]
                end = time.monotonic() + SECONDS
                returns = []
                for fault in faults if not SECONDS else iter(lambda: chance.choice(faults), ""):
                    await disturb(fault, server, proxy, chance.uniform(0, 2 * LIMIT))
                    returns.append(await seconds_until_back(nodes, fault))
                    if SECONDS and time.monotonic() > end:
                        break
                print(
                    f"{loop}: {len(returns)} faults; all nodes were back after"
                    f" {statistics.median(returns):.1f} s (median),"
                    f" {max(returns):.1f} s (longest)"
                )

    if SECONDS:
        # It takes longer than the time limit of a test.
        signal.setitimer(signal.ITIMER_REAL, 300 + 2 * SECONDS)
    runner(loop)(disturb_at_random())
