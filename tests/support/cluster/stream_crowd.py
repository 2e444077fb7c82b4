"""Nodes with a stream, and a ledger that reads the stream itself.

The ledger knows nothing of fastcoord's offsets. Each event carries its sender and its number. At
the end a plain client reads the whole stream, and takes of each sender the events 0, 1, 2, … in the
order in which the stream has them. Every node must have received exactly these, without its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.js.errors import APIError, ServiceUnavailableError

import fastcoord
from fastcoord import Event, Missed, Node, Notice, StateChange
from support.cluster.nodes import Reachable, node_toml, patiently_connected
from support.cluster.stalwart_player import StalwartPlayer
from support.wait import until

STREAM = "AGORA"
SUBJECT = "stwt.agora"
PROTOCOL = "stalwart-0.16"
STALWART = 900
"""The node id of the plain client that plays Stalwart."""
Numbered = tuple[int, int]
"""The sender and the number of an event."""


def numbered(sender: int, number: int) -> StateChange:
    """Make one event of a sender."""
    return StateChange(account_id=sender, change_id=number, types=fastcoord.DataType.EMAIL)


@asynccontextmanager
async def administrator(servers: Sequence[Reachable]) -> AsyncIterator[Any]:
    """Return nats-py's JetStream context for a test's own requests."""
    client = await nats.connect(
        [server.url for server in servers], reconnect_time_wait=0.1, max_reconnect_attempts=-1
    )
    try:
        yield client.jetstream(timeout=30)
    finally:
        await client.close()


async def make_stream(servers: Sequence[Reachable], **settings: Any) -> None:
    """Make the stream; a cluster may need a moment until it accepts that."""
    settings = {"subjects": [SUBJECT], "duplicate_window": 120, **settings}
    async with administrator(servers) as jetstream:

        async def made() -> bool:
            with contextlib.suppress(APIError, nats.errors.TimeoutError):
                await jetstream.add_stream(StreamConfig(name=STREAM, **settings))
                return True
            with contextlib.suppress(APIError, nats.errors.TimeoutError):
                # A test may have left its stream behind if no leader answered its deletion.
                for left in await jetstream.streams_info():
                    await jetstream.delete_stream(left.config.name)
            return False

        await until(made)


async def read_stream(servers: Sequence[Reachable]) -> list[Numbered]:
    """Read the events that the stream stores, in its order, duplicates included."""
    found: list[Numbered] = []
    async with administrator(servers) as jetstream:
        info = await jetstream.stream_info(STREAM)
        if not info.state.messages:
            return found
        config = ConsumerConfig(ack_policy=AckPolicy.NONE)
        consumer = await jetstream.pull_subscribe(SUBJECT, stream=STREAM, config=config)
        while True:
            try:
                batch = await consumer.fetch(500, timeout=60)
            except ServiceUnavailableError:
                # The leader of the new consumer is not known yet.
                await asyncio.sleep(0.1)
                continue
            for message in batch:
                for event in fastcoord.decode_batch(message.data, protocol=PROTOCOL):
                    assert isinstance(event, StateChange)
                    found.append((event.account_id, event.change_id))
            if batch[-1].metadata.sequence.stream >= info.state.last_seq:
                return found


def in_order(events: Iterable[Numbered], start: Counter[int] | None = None) -> list[Numbered]:
    """Select of each sender the events 0, 1, 2, …, each once."""
    following: Counter[int] = Counter(start or {})
    selected = []
    for sender, number in events:
        if number == following[sender]:
            following[sender] += 1
            selected.append((sender, number))
    return selected


class StreamCrowd:
    """Nodes that all receive each other's events through one stream.

    :param servers: the servers of all nodes.
    """

    def __init__(self, servers: Sequence[Reachable]) -> None:
        self.servers = servers
        self.nodes: list[Node] = []
        self.sent: Counter[int] = Counter()
        self.received: dict[int, list[Numbered]] = {}
        self.missed: dict[int, list[Missed]] = {}
        self._followers: list[asyncio.Task[None]] = []

    def add(self, node: Node) -> None:
        """Record everything that a node receives."""
        self.nodes.append(node)
        self.received[node.node_id] = []
        self.missed[node.node_id] = []
        self._followers.append(asyncio.create_task(self._follow(node.node_id, node.subscribe())))

    async def _follow(self, node_id: int, events: Any) -> None:
        async for item in events:
            self.record(node_id, item)

    def record(self, node_id: int, item: Event | Notice) -> None:
        if isinstance(item, StateChange):
            self.received[node_id].append((item.account_id, item.change_id))
        elif isinstance(item, Missed):
            self.missed[node_id].append(item)

    def next_events(self, sender: int, count: int) -> Iterator[StateChange]:
        for _ in range(count):
            self.sent[sender] += 1
            yield numbered(sender, self.sent[sender] - 1)

    async def publish(self, node: Node, count: int = 1) -> None:
        await node.publish(*self.next_events(node.node_id, count))

    @asynccontextmanager
    async def load(
        self, rate: float = 2000.0, *, nodes: Iterable[Node] = ()
    ) -> AsyncIterator[None]:
        """Have nodes publish at a constant rate each.

        :param rate: events a second.
        :param nodes: the publishing nodes; by default all.
        """
        loop = asyncio.get_running_loop()

        async def produce(node: Node) -> None:
            started, done = loop.time(), 0
            while True:
                due = int((loop.time() - started) * rate) - done
                if due:
                    done += due
                    await self.publish(node, due)
                await asyncio.sleep(0.005)

        producers = [asyncio.create_task(produce(node)) for node in list(nodes) or self.nodes]
        try:
            yield
        finally:
            failed = [task for task in producers if task.done()]
            for task in producers:
                task.cancel()
            await asyncio.wait(producers)
            for task in failed:
                task.result()
            # A cancelled `publish` may have accepted a part of its events.
            for node in list(nodes) or self.nodes:
                self.sent[node.node_id] = node.stats().accepted

    @asynccontextmanager
    async def stalwart(self, *, rate: float = 100.0) -> AsyncIterator[StalwartPlayer]:
        """Have a plain client publish and receive as Stalwart does."""
        async with StalwartPlayer([each.url for each in self.servers], protocol=PROTOCOL) as player:

            async def produce() -> None:
                while True:
                    event = next(self.next_events(STALWART, 1))
                    payload = fastcoord.encode_batch([event], node_id=STALWART, protocol=PROTOCOL)
                    with contextlib.suppress(nats.errors.Error):
                        await player._client.publish(SUBJECT, payload)
                    await asyncio.sleep(1 / rate)

            task = asyncio.create_task(produce())
            try:
                yield player
            finally:
                task.cancel()
                await asyncio.wait({task})

    async def confirmed(self) -> None:
        """Wait until the stream has acknowledged every event."""
        await until(
            lambda: all(node.stats().waiting == 0 for node in self.nodes),
            because="the stream has acknowledged every event",
        )

    async def caught_up(self) -> None:
        """Wait until every node has received everything that the stream stores now."""
        async with administrator(self.servers) as jetstream:
            last = (await jetstream.stream_info(STREAM)).state.last_seq

        def is_caught_up() -> bool:
            stats = [node.stats() for node in self.nodes]
            return all(
                each.stream is not None
                and each.stream.sequence >= last
                and not any(one.buffered for one in each.subscriptions)
                for each in stats
            )

        await until(is_caught_up, because=f"every node has received message {last}")

    async def settled(self) -> None:
        """Wait until everything is acknowledged and received."""
        await self.confirmed()
        await self.caught_up()

    async def check(self, *, complete: bool = True) -> None:
        """Compare what every node received with the stream, and the stream with what was sent.

        :param complete: whether the stream still has all messages.
        """
        await self.settled()
        stored = await read_stream(self.servers)
        kept = [each for each in stored if each[0] == STALWART]
        # Stalwart does not repeat what a dying server loses, so its events have no gapless numbers.
        assert len(kept) == len(set(kept))
        expected = in_order(stored, None)
        ours = [each for each in expected if each[0] != STALWART]
        counts = Counter(sender for sender, _ in ours)
        for node in self.nodes:
            assert self.missed[node.node_id] == []
            own = node.node_id
            received = self.received[own]
            got = [each for each in received if each[0] != STALWART]
            assert_same(got, [each for each in ours if each[0] != own], own)
            assert_same([each for each in received if each[0] == STALWART], kept, own)
        if complete:
            for node in self.nodes:
                assert counts[node.node_id] == self.sent[node.node_id] == node.stats().confirmed
        for node in self.nodes:
            stats = node.stats()
            assert stats.accepted == stats.confirmed + stats.waiting + stats.discarded

    async def close(self) -> None:
        for node in self.nodes:
            await node.close()
        await asyncio.gather(*self._followers)


def assert_same(received: list[Numbered], expected: list[Numbered], node_id: int) -> None:
    """Assert that two lists are equal, and describe the first difference."""
    if received == expected:
        return
    place = next(
        (at for at, pair in enumerate(zip(received, expected, strict=False)) if pair[0] != pair[1]),
        min(len(received), len(expected)),
    )
    raise AssertionError(
        f"node {node_id} received {len(received)} events, and {len(expected)} were expected; they"
        f" differ at {place}: received {received[place : place + 5]}, expected"
        f" {expected[place : place + 5]}"
    )


@asynccontextmanager
async def stream_crowd(
    servers: Reachable | Sequence[Reachable],
    *,
    size: int = 3,
    at: Sequence[Sequence[Reachable]] | None = None,
    stream: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[StreamCrowd]:
    """Make the stream, and connect nodes that record what they receive.

    :param servers: one or several.
    :param size: the number of nodes.
    :param at: the servers of each node; by default all for each.
    :param stream: settings of the stream.
    :param cluster: keys of ``[cluster]``.
    :param settings: those of :func:`support.cluster.nodes.node_toml`.
    """
    each: Sequence[Reachable] = servers if isinstance(servers, Sequence) else [servers]
    await make_stream(each, **(stream or {}))
    crowd = StreamCrowd(each)
    keys = {"stream": STREAM, "heartbeat": "200ms", "protocol": PROTOCOL, "subject": SUBJECT}
    keys |= cluster or {}
    try:
        for number in range(size):
            own = each if at is None else at[number]
            config = fastcoord.parse_config(node_toml(own, cluster=keys, **settings))
            crowd.add(await patiently_connected(config, node_id=number + 1))
        yield crowd
    finally:
        await crowd.close()
