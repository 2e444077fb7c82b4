"""Several nodes of one cluster whose received events are recorded, and load for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import fastcoord
from fastcoord import Node
from support.cluster.accounting import assert_accounts
from support.cluster.ledger import Ledger, Record
from support.cluster.nodes import Reachable, node_toml, patiently_connected
from support.wait import POLL_INTERVAL, until

HEARTBEAT = 0.2
"""Seconds; short, to keep tests short."""


class Crowd:
    """Nodes that all receive each other's events.

    :ivar nodes: in the order of their node ids, which count from 1.
    :ivar ledger: what each node sent and received.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.ledger = Ledger()
        self._followers: list[asyncio.Task[None]] = []

    def add(self, node: Node) -> None:
        """Record everything that a node receives."""
        record = self.ledger.records[node.node_id] = Record()
        self.nodes.append(node)
        events = node.subscribe(peers=True)
        self._followers.append(asyncio.create_task(record.follow(events)))

    def record(self, node: Node) -> Record:
        return self.ledger.records[node.node_id]

    @property
    def is_connected(self) -> bool:
        return all(node.is_connected for node in self.nodes)

    async def acquainted(self, *, timeout: float = 120.0) -> None:
        """Wait until every node reports every other one as up."""
        await until(
            lambda: all(
                sum(peer.is_up is True for peer in node.peers()) == len(self.nodes) - 1
                for node in self.nodes
            ),
            timeout=timeout,
            because="every node reports every other one as up",
        )

    async def even(self, *, timeout: float = 120.0) -> None:
        """Wait until every event is accounted for, on the nodes and in the ledger."""
        await self.ledger.even(timeout=timeout)
        await until(lambda: all(node.stats().waiting == 0 for node in self.nodes), timeout=timeout)
        assert_accounts(*self.nodes)
        for node in self.nodes:
            assert node.stats().accepted == self.ledger.sent[node.node_id]

    @asynccontextmanager
    async def load(self, *, burst: int = 20) -> AsyncIterator[None]:
        """Have every node publish a burst every few milliseconds."""
        stop = asyncio.Event()

        async def produce(node: Node) -> None:
            while not stop.is_set():
                await self.ledger.publish(node, burst)
                await asyncio.sleep(POLL_INTERVAL)

        producers = [asyncio.create_task(produce(node)) for node in self.nodes]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*producers)

    async def progress(self, events: int = 200, *, timeout: float = 120.0) -> None:
        """Wait until each node has published and received this many more events."""
        sent = dict(self.ledger.sent)
        received = [node.stats().received for node in self.nodes]
        await until(
            lambda: all(
                self.ledger.sent[node.node_id] >= sent.get(node.node_id, 0) + events
                and node.stats().received >= before + events
                for node, before in zip(self.nodes, received, strict=True)
            ),
            timeout=timeout,
            because=f"each node published and received {events} more events",
        )

    async def published(self, events: int = 200, *, timeout: float = 120.0) -> None:
        """Wait until each node has published this many more events, received or not."""
        sent = dict(self.ledger.sent)
        await until(
            lambda: all(
                self.ledger.sent[node.node_id] >= sent.get(node.node_id, 0) + events
                for node in self.nodes
            ),
            timeout=timeout,
            because=f"each node published {events} more events",
        )

    async def follow_to_the_end(self) -> None:
        await asyncio.gather(*self._followers)


@asynccontextmanager
async def crowd(
    servers: Reachable | Sequence[Reachable | Iterable[Reachable]],
    count: int = 3,
    *,
    cluster: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Crowd]:
    """Connect nodes 1 to ``count`` and wait until they all report each other as up.

    :param servers: one for all nodes, or a sequence with one (or several) for each node.
    :param cluster: keys of ``[cluster]``, added to the protocol and a short heartbeat.
    :param settings: keys of ``[store."nats"]``.
    """
    keys = {"protocol": "fastcoord-1", "heartbeat": f"{HEARTBEAT * 1000:.0f}ms", **(cluster or {})}
    members = Crowd()
    async with contextlib.AsyncExitStack() as stack:
        for index in range(count):
            where = servers[index] if isinstance(servers, Sequence) else servers
            text = node_toml(where, cluster=keys, **settings)
            config = fastcoord.parse_config(text)
            node = await patiently_connected(config, node_id=index + 1)
            members.add(await stack.enter_async_context(node))
        await members.acquainted()
        yield members
        assert_accounts(*members.nodes)
    await members.follow_to_the_end()
    assert_accounts(*members.nodes)
