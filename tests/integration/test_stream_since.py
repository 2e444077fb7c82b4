"""``subscribe(since=...)`` replays what the stream has, and continues with live events."""

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import fastcoord
from fastcoord import Missed, StateChange, StreamError, Subscription
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.stream_crowd import STREAM, StreamCrowd, administrator, numbered, stream_crowd
from support.wait import until


async def take(events: Subscription, count: int) -> list[int]:
    async def run() -> list[int]:
        numbers: list[int] = []
        while len(numbers) < count:
            event = await events.__anext__()
            assert isinstance(event, StateChange), event
            numbers.append(event.change_id)
        return numbers

    return await asyncio.wait_for(run(), 60)


async def publish_each(crowd: StreamCrowd, count: int) -> None:
    """Publish events, each in a message of its own."""
    sender = crowd.nodes[0]
    for _ in range(count):
        await crowd.publish(sender)
        await sender.flush()


async def stored_checks(crowd: StreamCrowd) -> int:
    """Return how many messages the stream has before the first event.

    Each node that joins checks its right to publish. Servers before 2.11 store that message.
    """
    await crowd.settled()
    return crowd.nodes[1].stats().stream.sequence


FAR_PAST = datetime.min.replace(tzinfo=timezone.utc)
FAR_FUTURE = datetime.max.replace(tzinfo=timezone.utc)


async def is_live(crowd: StreamCrowd) -> None:
    await until(lambda: crowd.nodes[1].stats().stream.replays == 0)


@pytest.mark.parametrize(
    ("since", "first"),
    [
        (0, 0),
        (6, 6),
        (10, 10),
        (timedelta(hours=1), 0),
        (timedelta.max, 0),
        (3600.0, 0),
        (0.0, 10),
        (1e300, 0),
        (FAR_PAST, 0),
        (FAR_FUTURE, 10),
    ],
)
async def test_since_replays_history(jetstream_server: LocalServer, since: Any, first: int) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd:
        checks = await stored_checks(crowd)
        await publish_each(crowd, 10)
        await crowd.settled()
        if isinstance(since, int):
            since += checks
        async with crowd.nodes[1].subscribe(since=since) as events:
            await is_live(crowd)
            await publish_each(crowd, 5)
            assert await take(events, 15 - first) == list(range(first, 15))
            assert events.sequence == checks + 15


async def test_since_datetime_replays_history(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd:
        await publish_each(crowd, 3)
        await crowd.settled()
        moment = datetime.now(timezone.utc)
        await publish_each(crowd, 4)
        async with crowd.nodes[1].subscribe(since=moment) as events:
            assert await take(events, 4) == [3, 4, 5, 6]


async def test_replay_joins_live_events_under_load(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd:
        reader, sender = crowd.nodes
        await crowd.publish(sender, 50_000)
        subscriptions = []
        async with crowd.load(5000.0, nodes=[sender]):
            for _ in range(4):
                subscriptions.append(reader.subscribe(since=0))
                sent = crowd.sent[2]
                await until(lambda sent=sent: crowd.sent[2] >= sent + 500)
            await until(lambda: reader.stats().stream.replays == 0)
        await crowd.confirmed()
        for events in subscriptions:
            assert await take(events, crowd.sent[2]) == list(range(crowd.sent[2]))
            events.close()


async def test_replay_waits_for_slow_program(jetstream_server: LocalServer) -> None:
    capacity = {"subscription": 16}
    async with stream_crowd(jetstream_server, size=2, capacity=capacity) as crowd:
        await publish_each(crowd, 300)
        async with crowd.nodes[1].subscribe(since=0) as events:
            numbers = []
            for _ in range(300):
                # The ring fills during a round trip to the server.
                await crowd.nodes[1].flush()
                numbers += await take(events, 1)
            assert numbers == list(range(300))
            assert events.stats().missed == 0


async def test_purge_that_a_replay_finds_is_reported(jetstream_server: LocalServer) -> None:
    async with (
        stream_crowd(jetstream_server, size=2) as crowd,
        administrator([jetstream_server]) as jetstream,
        crowd.nodes[1].subscribe() as live,
    ):
        node = crowd.nodes[1]
        await publish_each(crowd, 1)
        assert await take(live, 1) == [0]
        last = node.stats().stream.sequence
        await jetstream.purge_stream(STREAM, seq=last + 9)
        async with node.subscribe(since=0):
            await until(lambda: node.stats().stream.sequence == last + 8)
            await is_live(crowd)
        assert node.stats().stream.lag == 0
        assert await live.__anext__() == Missed(None, None, "retention", 8)


async def test_dropped_history_is_reported(jetstream_server: LocalServer) -> None:
    async with (
        stream_crowd(jetstream_server, size=2) as crowd,
        administrator([jetstream_server]) as jetstream,
    ):
        checks = await stored_checks(crowd)
        await publish_each(crowd, 10)
        await crowd.settled()
        await jetstream.purge_stream(STREAM, seq=checks + 7)
        async with crowd.nodes[1].subscribe(since=checks + 2) as events:
            assert await events.__anext__() == Missed(None, None, "retention", 4)
            assert await take(events, 4) == [6, 7, 8, 9]


async def test_sequence_of_other_stream_is_reported(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd:
        await publish_each(crowd, 3)
        await crowd.settled()
        async with crowd.nodes[1].subscribe(since=1000) as events:
            assert await events.__anext__() == Missed(None, None, "retention", None)
            assert await take(events, 3) == [0, 1, 2]


async def test_sequence_counts_whole_messages(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd:
        reader, sender = crowd.nodes
        checks = await stored_checks(crowd)
        async with reader.subscribe() as events:
            before = events.sequence
            await sender.publish(*(numbered(2, number) for number in range(3)))
            await take(events, 2)
            assert events.sequence == before
            await take(events, 1)
            assert events.sequence == reader.stats().stream.sequence
        async with reader.subscribe(since=0) as again:
            batches = again.batches()
            batch = await asyncio.wait_for(batches.__anext__(), 60)
            assert isinstance(batch, fastcoord.Batch)
            assert batch.sequence == checks + 1
            assert len(batch) == 3


async def test_since_needs_stream(shared_server: LocalServer) -> None:
    async with joined(shared_server, 1) as node:
        with pytest.raises(StreamError, match=r"cluster\.stream"):
            node.subscribe(since=0)


@pytest.mark.parametrize(
    ("since", "error", "text"),
    [
        (-1, ValueError, "from 0"),
        (2**64, ValueError, "from 0"),
        (-1.0, ValueError, "at least 0"),
        (timedelta(-1), ValueError, "negative"),
        (datetime(2026, 1, 1), ValueError, "time zone"),  # noqa: DTZ001
        ("1h", TypeError, "not str"),
        (True, TypeError, "not bool"),
    ],
)
async def test_wrong_since_is_refused(
    shared_server: LocalServer, since: Any, error: type[Exception], text: str
) -> None:
    async with joined(shared_server, 1) as node:
        with pytest.raises(error, match=text):
            node.subscribe(since=since)
