"""A subscription replays earlier events while the stream fails."""

import asyncio

import fastcoord
from fastcoord import Disconnected, Reconnected, StateChange
from fastcoord.server import LocalServer
from support.cluster.plain_peer import PlainPeer
from support.cluster.stream_crowd import (
    PROTOCOL,
    STALWART,
    STREAM,
    administrator,
    numbered,
    stream_crowd,
)
from support.faults.proxy import Proxy
from support.wait import until


async def test_replay_since_time_repeats_nothing(jetstream_server: LocalServer) -> None:
    async with (
        stream_crowd(jetstream_server, size=1, capacity={"subscription": 64}) as crowd,
        administrator([jetstream_server]) as jetstream,
        PlainPeer(jetstream_server.url) as stalwart,
    ):
        # These messages have no offsets, by which a node would recognise a repetition.
        await stalwart.publish(
            *(
                fastcoord.encode_batch([numbered(STALWART, n)], node_id=STALWART, protocol=PROTOCOL)
                for n in range(300)
            )
        )
        await crowd.caught_up()
        received = []
        async with crowd.nodes[0].subscribe(since=3600.0) as events:
            while len(received) < 300:
                event = await asyncio.wait_for(anext(events), 60)
                assert isinstance(event, StateChange)
                received.append(event.change_id)
                if len(received) == 100:
                    for consumer in await jetstream.consumers_info(STREAM):
                        await jetstream.delete_consumer(STREAM, consumer.name)
        assert received == list(range(300))


async def test_replay_receives_notices(jetstream_server: LocalServer) -> None:
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at, capacity = [[proxy], [jetstream_server]], {"subscription": 8}
        async with stream_crowd(jetstream_server, size=2, at=at, capacity=capacity) as crowd:
            node, sender = crowd.nodes
            for _ in range(20):
                await crowd.publish(sender)
                await sender.flush()
            await crowd.caught_up()
            async with node.subscribe(since=0, connection=True) as events:
                await until(lambda: events.stats().buffered)
                proxy.cut()
                await until(lambda: not node.is_connected)
                await until(lambda: node.is_connected)
                assert node.stats().stream.replays == 1
                received: list[object] = []
                while len(received) < 22:
                    received.append(await asyncio.wait_for(anext(events), 60))
            notices = [each for each in received if not isinstance(each, StateChange)]
            assert [type(each) for each in notices] == [Disconnected, Reconnected]
            assert [each for each in received if isinstance(each, StateChange)] == [
                numbered(2, n) for n in range(20)
            ]


async def test_flush_waits_for_replay_of_peer(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2, capacity={"subscription": 8}) as crowd:
        node, sender = crowd.nodes
        for _ in range(40):
            await crowd.publish(sender)
            await sender.flush()
        await crowd.caught_up()
        async with node.subscribe(since=0) as events:
            await until(lambda: events.stats().buffered)
            flush = asyncio.create_task(sender.flush(peers=True))
            arrived: list[int] = []
            flush.add_done_callback(lambda _: arrived.append(events.stats().arrived))
            for number in range(40):
                await sender.ping(1)
                assert await asyncio.wait_for(anext(events), 60) == numbered(2, number)
            assert await flush == {1}
        assert arrived == [40]
