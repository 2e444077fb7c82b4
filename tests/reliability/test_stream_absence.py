"""A node is away from its stream for a while, and then catches up."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.cluster.stream_crowd import STREAM, read_stream, stream_crowd
from support.faults.proxy import Proxy
from support.processes.resuming_process import ResumingProcess
from support.scale import IS_LONG, repeats
from support.wait import until

ABSENCES = [1.0, 10.0, 50.0] if IS_LONG else [3.0]


@pytest.mark.parametrize("seconds", ABSENCES)
async def test_absence_is_caught_up(jetstream_server: LocalServer, seconds: float) -> None:
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at = [[proxy], [jetstream_server], [jetstream_server]]
        async with stream_crowd(jetstream_server, at=at) as crowd:
            away, first, second = crowd.nodes
            async with crowd.stalwart(), crowd.load(2500.0, nodes=[first, second]):
                await until(lambda: len(crowd.received[1]) > 1000)
                proxy.refuse()
                proxy.cut()
                await until(lambda: not away.is_connected)
                await crowd.publish(away, 100)
                await asyncio.sleep(seconds)
                await proxy.accept()
                await until(lambda: away.is_connected)
            await crowd.check()
            assert len(crowd.received[1]) > 4000 * seconds


async def test_half_open_connection_is_caught_up(jetstream_server: LocalServer) -> None:
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at = [[proxy], [jetstream_server]]
        async with stream_crowd(jetstream_server, size=2, at=at) as crowd:
            async with crowd.load():
                await until(lambda: len(crowd.received[1]) > 500)
                # The server still receives from this node, and this node receives nothing.
                proxy.to_client.swallow()
                await until(lambda: not crowd.nodes[0].is_connected)
                proxy.to_client.resume()
                await until(lambda: crowd.nodes[0].is_connected)
            await crowd.check()


async def test_killed_process_resumes(jetstream_server: LocalServer, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    async with stream_crowd(jetstream_server, size=2) as crowd, AsyncExitStack() as stack:
        cluster = {"stream": STREAM, "heartbeat": "200ms", "protocol": "stalwart-0.16"}
        config.write_text(
            node_toml(jetstream_server, cluster=cluster, timeout={"connection": "1m"})
        )
        async with crowd.stalwart(), crowd.load(500.0):
            process = await stack.enter_async_context(ResumingProcess.started(config, 7, since=0))
            for _ in range(repeats(2, long=4)):
                count = len(process.received)
                await until(lambda count=count: len(process.received) > count + 200)
                await process.kill()
                await asyncio.sleep(0.2)
                await process.resume()
        await crowd.settled()
        stored = await read_stream([jetstream_server])
        await until(lambda: len(process.received) >= len(stored))
        await process.kill()
        assert process.notices == []
        assert process.received == stored
        await crowd.check()
