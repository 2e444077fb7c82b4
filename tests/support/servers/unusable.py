"""Servers that no node can connect to, and checks that a failed attempt leaves nothing open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import fastcoord
from fastcoord import ConnectError
from fastcoord.server.ports import reserve
from support.cluster.nodes import node_toml
from support.wait import until

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Address:
    """An address with the attributes of a server."""

    def __init__(self, port: int) -> None:
        self.url = f"nats://127.0.0.1:{port}"
        self.name = f"127.0.0.1:{port}"


def unused_address() -> Address:
    """Return an address that refuses connections, and on which a server may listen.

    It is reserved until this process ends, so that no other process of the tests gets its port.
    """
    reservation = reserve("127.0.0.1")
    address = Address(reservation.getsockname()[1])
    reservation.detach()
    return address


@contextlib.asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[Address]:
    """Run a server that handles each connection with ``handler``."""
    done: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        done.add(task)
        with contextlib.suppress(ConnectionError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        # Each handler ends because the node closes its connection.
        await asyncio.wait_for(asyncio.gather(*done), 60)


async def refused(servers: Any, **settings: Any) -> tuple[str, Exception, float]:
    """Try to connect and fail.

    :return: the error's text, the error, and the duration of the attempt in seconds.
    """
    sockets = open_sockets()
    started = time.monotonic()
    with pytest.raises(ConnectError) as caught:
        await fastcoord.connect(fastcoord.parse_config(node_toml(servers, **settings)))
    took = time.monotonic() - started
    assert took < 30, "the error came only after a long timeout"
    assert {
        task.get_name() for task in asyncio.all_tasks() if "fastcoord" in task.get_name()
    } == set()
    await until(lambda: open_sockets() <= sockets, because="the node's sockets are closed")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("no NATS server could be joined (check "), text
    return text, caught.value, took


def open_sockets() -> int:
    """Count the open sockets of this process."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
    return count
