"""Programs that are cancelled, or end their event loop, while a node joins or closes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.loops import LOOPS, runner
from support.servers.unusable import listening, open_sockets
from support.wait import until


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_loop_ends_during_close(shared_server: LocalServer, iterations: int, loop: str) -> None:
    async def leave() -> None:
        node = await fastcoord.connect(fastcoord.parse_config(node_toml(shared_server)))
        # Otherwise its answer may arrive within these iterations.
        shared_server.freeze()
        closing = asyncio.ensure_future(node.close())
        for _ in range(iterations):
            await asyncio.sleep(0)
        assert not closing.done()

    sockets = open_sockets()
    try:
        runner(loop)(leave())
    finally:
        shared_server.thaw()
    assert open_sockets() == sockets


class Canceller(logging.Handler):
    """Cancel a task when a node reports its connection, and again some iterations later."""

    task: asyncio.Task[object]

    def __init__(self, iterations: int) -> None:
        super().__init__()
        self._iterations = iterations

    def emit(self, record: logging.LogRecord) -> None:
        if "connected to" in record.getMessage():
            self.task.cancel()
            self._count(self._iterations)

    def _count(self, left: int) -> None:
        if left:
            self.task.get_loop().call_soon(self._count, left - 1)
        else:
            self.task.cancel()


@pytest.mark.parametrize("iterations", [4, 5, 6, 7])
async def test_connect_cancelled_twice_leaves_nothing(
    server: LocalServer, caplog: pytest.LogCaptureFixture, iterations: int
) -> None:
    caplog.set_level(logging.INFO, "fastcoord")
    logger, handler = logging.getLogger("fastcoord"), Canceller(iterations)
    logger.addHandler(handler)
    gc.disable()  # it would close what no task refers to
    try:
        config = fastcoord.parse_config(node_toml(server, cluster={"node_id": "auto"}))
        handler.task = asyncio.ensure_future(fastcoord.connect(config).__aenter__())
        with contextlib.suppress(asyncio.CancelledError):
            await handler.task
        assert handler.task.cancelled()
        await until(lambda: server.connz()["num_connections"] == 0)
        await until(lambda: len(asyncio.all_tasks()) == 1)
    finally:
        gc.enable()
        logger.removeHandler(handler)


async def test_connect_cancelled_as_it_fails_logs_nothing() -> None:
    contexts: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))

    prepared = asyncio.Event()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await prepared.wait()

    async with listening(close) as server:
        config = fastcoord.parse_config(node_toml(server))
        connecting = asyncio.ensure_future(fastcoord.connect(config).__aenter__())
        (handshake,) = await until(
            lambda: [task for task in asyncio.all_tasks() if "Handshake" in repr(task)]
        )
        handshake.add_done_callback(lambda _: connecting.cancel())
        prepared.set()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    del handshake
    gc.collect()
    assert contexts == []
