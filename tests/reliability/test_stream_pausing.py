"""A busy node without a subscription receives nothing from its stream, and a subscription misses
nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastcoord import Node, StateChange
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.stream_crowd import (
    PROTOCOL,
    STREAM,
    administrator,
    make_stream,
    numbered,
)
from support.wait import until

BURST = 20_000
"""Events of more messages than a node receives without a subscription."""


@asynccontextmanager
async def two_nodes(server: LocalServer, protocol: str = PROTOCOL) -> AsyncIterator[list[Node]]:
    await make_stream([server])
    options: dict[str, Any] = {
        "cluster": {"stream": STREAM, "protocol": protocol, "heartbeat": "200ms"},
        "capacity": {"batch_bytes": 64},
        "no_echo": False,
        "timeout": {"request": "1m"},
    }
    async with joined(server, 1, **options) as first, joined(server, 2, **options) as second:
        yield [first, second]


async def consumers(server: LocalServer) -> int:
    async with administrator([server]) as jetstream:
        return int((await jetstream.stream_info(STREAM)).state.consumer_count)


async def become(server: LocalServer, count: int) -> None:
    """Wait until the stream has this many consumers."""

    async def is_so() -> bool:
        return await consumers(server) == count

    await until(is_so)


async def burst(node: Node, first: int = 0) -> None:
    """Publish events, in messages of a few."""
    for number in range(first, first + BURST):
        await node.publish(numbered(node.node_id, number))
    await node.flush()


async def test_busy_node_without_subscription_has_no_consumer(
    jetstream_server: LocalServer,
) -> None:
    async with two_nodes(jetstream_server) as (publisher, reader), reader.subscribe() as events:
        await burst(publisher)
        await become(jetstream_server, 1)
        stats = publisher.stats().stream
        assert (stats.is_receiving, stats.lag, stats.trouble) == (True, 0, None)
        received = [await anext(events) for _ in range(BURST)]
        assert received == [numbered(1, number) for number in range(BURST)]


async def test_pace_keeps_the_consumer(jetstream_server: LocalServer) -> None:
    async with two_nodes(jetstream_server, "stalwart-0.15") as (publisher, _):
        await burst(publisher)
        stats = publisher.stats
        await until(lambda: stats().stream.sequence >= stats().sent_batches)
        assert await consumers(jetstream_server) == 2


async def test_subscription_after_pause_misses_nothing(jetstream_server: LocalServer) -> None:
    async with two_nodes(jetstream_server) as (publisher, other):
        await burst(publisher)
        await become(jetstream_server, 0)
        for _ in range(3):
            await burst(publisher)
            async with other.subscribe() as events:
                expected = numbered(1, 1_000_000)
                await publisher.publish(expected)
                await publisher.flush()
                while await asyncio.wait_for(anext(events), 60) != expected:
                    pass
                assert not any(other.stats().missed.values())


async def test_subscription_after_pause_follows_new_stream(jetstream_server: LocalServer) -> None:
    async with (
        two_nodes(jetstream_server) as (publisher, other),
        administrator([jetstream_server]) as jetstream,
    ):
        # The last own batch has a larger sequence than the next stream will have for long.
        await burst(publisher)
        await become(jetstream_server, 0)
        await jetstream.delete_stream(STREAM)
        await make_stream([jetstream_server])
        await until(lambda: publisher.stats().stream.sequence == 0)
        async with publisher.subscribe() as events:
            expected = [numbered(2, number) for number in range(3)]
            for event in expected:
                await other.publish(event)
                await other.flush()
            assert [await asyncio.wait_for(anext(events), 60) for _ in expected] == expected


async def test_own_events_of_the_past_are_not_delivered(jetstream_server: LocalServer) -> None:
    async with two_nodes(jetstream_server) as (publisher, _):
        await burst(publisher)
        await become(jetstream_server, 0)
        async with publisher.subscribe() as events:
            expected = numbered(1, BURST)
            await publisher.publish(expected)
            assert await asyncio.wait_for(anext(events), 60) == expected


async def test_node_without_subscription_confirms(jetstream_server: LocalServer) -> None:
    async with two_nodes(jetstream_server) as (publisher, other):
        await until(lambda: any(peer.is_up for peer in publisher.peers()))
        await burst(publisher)
        await become(jetstream_server, 0)
        await burst(publisher, BURST)
        assert await publisher.flush(peers=True) == frozenset({2})
        async with other.subscribe() as events:
            # Nothing was stored since, and the node can tell.
            assert await publisher.flush(peers=True) == frozenset({2})
            await publisher.publish(numbered(1, 0))
            assert await publisher.flush(peers=True) == frozenset({2})
            found = [events.stats().arrived > 0, isinstance(await anext(events), StateChange)]
            assert found == [True, True]


async def test_subscribed_node_confirms_only_what_it_has(jetstream_server: LocalServer) -> None:
    async with two_nodes(jetstream_server) as (publisher, other):
        await until(lambda: any(peer.is_up for peer in publisher.peers()))
        await burst(publisher)
        await become(jetstream_server, 0)
        async with other.subscribe(), administrator([jetstream_server]) as jetstream:
            await become(jetstream_server, 1)
            (consumer,) = await jetstream.consumers_info(STREAM)
            await jetstream.delete_consumer(STREAM, consumer.name)
            # Until the node has made another consumer, it receives nothing.
            await publisher.publish(numbered(1, BURST))
            assert await publisher.flush(peers=True) == frozenset({2})
            assert other.stats().subscriptions[0].arrived >= 1
