"""Servers fail under a stream: every node receives everything once, in the stream's order."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from fastcoord.server import LocalCluster, LocalServer
from support.cluster.stream_crowd import STREAM, administrator, stream_crowd
from support.scale import repeats
from support.wait import until


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[LocalCluster]:
    with LocalCluster(3, jetstream=True) as running:
        yield running


@pytest.fixture
async def jetstream_cluster(running_cluster: LocalCluster) -> AsyncIterator[LocalCluster]:
    yield running_cluster
    async with administrator(running_cluster.servers) as jetstream:
        await jetstream.delete_stream(STREAM)


async def test_quiet_stream_delivers_everything(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server) as crowd:
        async with crowd.stalwart(), crowd.load():
            await asyncio.sleep(0.5)
        await crowd.check()


async def test_server_kills_lose_nothing(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server) as crowd:
        async with crowd.stalwart(), crowd.load():
            for _ in range(repeats(2, long=10)):
                count = len(crowd.received[1])
                await until(lambda count=count: len(crowd.received[1]) > count + 200)
                jetstream_server.kill()
                await until(lambda: not any(node.is_connected for node in crowd.nodes))
                await jetstream_server.start_async()
                await until(lambda: all(node.is_connected for node in crowd.nodes))
        await crowd.check()


async def test_killed_leaders_lose_nothing(jetstream_cluster: LocalCluster) -> None:
    servers = jetstream_cluster.servers
    async with stream_crowd(servers, stream={"num_replicas": 3}) as crowd:
        async with crowd.stalwart(), crowd.load(1000.0):
            for _ in range(repeats(1, long=6)):
                count = len(crowd.received[1])
                await until(lambda count=count: len(crowd.received[1]) > count + 200)
                async with administrator(servers) as jetstream:
                    info = await jetstream.stream_info(STREAM)
                server = next(each for each in servers if each.settings.name == info.cluster.leader)
                server.kill()
                count = len(crowd.received[1])
                await until(lambda count=count: len(crowd.received[1]) > count + 200)
                await server.start_async()
                await asyncio.to_thread(jetstream_cluster.wait_for_routes)
                await asyncio.to_thread(jetstream_cluster.wait_for_jetstream)
        await crowd.check()


async def test_frozen_servers_lose_nothing(jetstream_cluster: LocalCluster) -> None:
    servers = jetstream_cluster.servers
    async with stream_crowd(servers, stream={"num_replicas": 3}) as crowd:
        async with crowd.load(1000.0):
            for number in range(repeats(1, long=3)):
                count = len(crowd.received[1])
                await until(lambda count=count: len(crowd.received[1]) > count + 200)
                servers[number].freeze()
                await asyncio.sleep(4.0)
                servers[number].thaw()
            count = len(crowd.received[1])
            await until(lambda count=count: len(crowd.received[1]) > count + 200)
        await crowd.check()
