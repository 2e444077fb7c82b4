"""Lines that no server should send, and connections that are closed in one direction.

Each is sent to a connected node while it publishes. Afterwards the node must be connected, and a
ledger must account for every event.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

import fastcoord
from fastcoord import EmailPush, Missed
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.faults.proxy import Proxy
from support.loops import LOOPS, runner
from support.wait import until

AT_ONCE = 4
"""How many faults are tried at the same time."""


def info(**fields: Any) -> bytes:
    known = {"server_id": "x", "version": "2.15.1", "max_payload": 1 << 20, "headers": True}
    return b"INFO " + json.dumps({**known, **fields}).encode() + b"\r\n"


def sent(data: bytes) -> Callable[[Proxy], None]:
    """Return a fault that sends bytes to the client as if the server had sent them."""

    def send(proxy: Proxy) -> None:
        for writers in proxy._connections.values():
            writers[0].write(data)

    return send


def half_closed(end: int) -> Callable[[Proxy], None]:
    """Return a fault that ends one direction; 0 is that to the client, 1 that to the server."""

    def close(proxy: Proxy) -> None:
        for writers in proxy._connections.values():
            number = os.dup(writers[end].get_extra_info("socket").fileno())
            with socket.socket(fileno=number) as connection:
                connection.shutdown(socket.SHUT_WR)

    return close


def error(text: str) -> Callable[[Proxy], None]:
    return sent(f"-ERR '{text}'\r\n".encode())


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "garbage": sent(bytes(range(256)) * 2),
    "unknown line": sent(b"HELLO WORLD\r\n"),
    "zeros": sent(b"\0" * 10),
    "endless line": sent(b"A" * 2_000_000),
    "lines without CR": sent(b"PING\nPING\n"),
    "stale connection": error("Stale Connection"),
    "authentication expired": error("User Authentication Expired"),
    "authentication revoked": error("User Authentication Revoked"),
    "account expired": error("Account Authentication Expired"),
    "maximum connections": error("maximum connections exceeded"),
    "maximum payload": error("Maximum Payload Violation"),
    "slow consumer": error("Slow Consumer"),
    "unknown error": error("Something New"),
    "empty error": sent(b"-ERR\r\n"),
    "undecodable error": sent(b"-ERR '\xff\xfe'\r\n"),
    "many PONGs": sent(b"PONG\r\n" * 5000),
    "many PINGs": sent(b"PING\r\n" * 5000),
    "smaller payload": sent(info(max_payload=600)),
    "payload of one byte": sent(info(max_payload=1)),
    "payload of no bytes": sent(info(max_payload=0)),
    "negative payload": sent(info(max_payload=-5)),
    "payload as text": sent(info(max_payload="many")),
    "WebSocket addresses": sent(info(ws_connect_urls=["127.0.0.1:1"], connect_urls=[])),
    "dead addresses": sent(info(connect_urls=["127.0.0.1:1", "[::1]:1", "nowhere.invalid:4222"])),
    "broken addresses": sent(info(connect_urls=["", "::::", "a b:c", 5, None, "host:99999999"])),
    "addresses as text": sent(info(connect_urls="127.0.0.1:4222")),
    "INFO without JSON": sent(b"INFO {nonsense\r\n"),
    "INFO with a list": sent(b"INFO [1,2]\r\n"),
    "empty INFO": sent(b"INFO \r\n"),
    "nested INFO": sent(b"INFO " + b"[" * 100_000 + b"\r\n"),
    "large INFO": sent(info(x="y" * 900_000)),
    "too large INFO": sent(info(x="y" * 3_000_000)),
    "no headers": sent(info(headers=False)),
    "lame duck without successor": sent(info(ldm=True, connect_urls=["127.0.0.1:1"])),
    "half closed to the node": half_closed(0),
    "half closed to the server": half_closed(1),
    "unknown subscription": sent(b"MSG a 99999 3\r\nabc\r\n"),
    "huge message": sent(b"MSG a 1 99999999999\r\n"),
    "negative message": sent(b"MSG a 1 -3\r\n"),
    "header larger than message": sent(b"HMSG a 1 30 10\r\n0123456789\r\n"),
    "message without end": sent(b"MSG a 1 3\r\nabcXY"),
}


async def survives(server: LocalServer, place: int, fault: Callable[[Proxy], None]) -> None:
    """Publish through a proxy while the fault is made, and account for every event."""
    cluster = {"protocol": "fastcoord-1", "heartbeat": "300ms", "subject": f"strange.{place}"}
    async with Proxy(server.host, server.port) as proxy, contextlib.AsyncExitStack() as stack:
        sender, receiver = [
            await stack.enter_async_context(joined(each, node_id, cluster=cluster))
            for node_id, each in ((1, proxy), (2, server))
        ]
        events = receiver.subscribe()
        await until(lambda: sender.peers() and receiver.peers())
        number = 0

        async def publish(count: int) -> None:
            nonlocal number
            for _ in range(count):
                number += 1
                await sender.publish(EmailPush(1, number, 0))

        async def is_confirmed() -> bool:
            with contextlib.suppress(fastcoord.RequestTimeout):
                await sender.flush()
                return True
            return False

        await publish(200)
        fault(proxy)
        for _ in range(10):
            await publish(100)
            await asyncio.sleep(0.01)  # the fault has time to take effect between the events
        await until(is_confirmed)
        await publish(1)
        await until(is_confirmed)
        numbers: list[int] = []
        async for item in events:
            # On a busy machine, the sender may be away for so long that it counts as silent.
            assert not isinstance(item, Missed) or item == Missed(1, None, "gap"), item
            if isinstance(item, EmailPush):
                numbers.append(item.email_id)
                if item.email_id == number:
                    break
        assert numbers == list(range(1, number + 1))
        stats = sender.stats()
        assert (stats.connection, stats.waiting, stats.discarded) == ("connected", 0, 0)


@pytest.mark.parametrize("loop", LOOPS)
def test_strange_lines_lose_nothing(server: LocalServer, loop: str) -> None:
    async def try_all() -> None:
        left = iter(enumerate(FAULTS))

        async def try_next() -> None:
            for place, name in left:
                try:
                    await survives(server, place, FAULTS[name])
                except BaseException as failure:
                    failure.args = (f"{name}: {failure}",)
                    raise

        await asyncio.gather(*(try_next() for _ in range(AT_ONCE)))

    runner(loop)(try_all())
