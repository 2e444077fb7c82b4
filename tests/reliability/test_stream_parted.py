"""The routes between servers are cut while senders on both sides go on."""

import asyncio

from support.cluster.stream_crowd import stream_crowd
from support.servers.parted_cluster import parted_cluster
from support.wait import until


async def test_parted_routes_lose_nothing() -> None:
    async with parted_cluster() as cluster:
        at = [[server] for server in cluster.servers]
        async with stream_crowd(cluster.servers, at=at, stream={"num_replicas": 3}) as crowd:
            async with crowd.load(500.0):
                await until(lambda: all(len(each) > 500 for each in crowd.received.values()))
                cluster.part(2)
                await asyncio.sleep(5.0)
                await cluster.heal()
                await cluster.is_complete()
                count = len(crowd.received[3])
                await until(lambda: len(crowd.received[3]) > count + 500)
            await crowd.check()
