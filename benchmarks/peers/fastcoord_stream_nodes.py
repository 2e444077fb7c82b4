"""fastcoord with a JetStream stream, one call for each event."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import nats

import fastcoord
from benchmarks.peers import Consume, Flush, Publish, Take, Wire, fastcoord_nodes

NAME = "fastcoord with a stream"
EVENTS = 2_000_000

version = fastcoord_nodes.version
prepare = fastcoord_nodes.prepare
STORAGE = os.environ.get("FASTCOORD_STORAGE", "memory")
REPLICAS = int(os.environ.get("FASTCOORD_REPLICAS", "1"))


async def configuration(wire: Wire) -> fastcoord.Config:
    """Make the stream, and return the configuration of a node."""
    name = wire.subject.replace(".", "_")
    client = await nats.connect(wire.url)
    await client.jetstream(timeout=30).add_stream(
        name=name,
        subjects=[wire.subject],
        storage=STORAGE,
        num_replicas=REPLICAS,
        duplicate_window=60,
        max_age=120,
    )
    await client.close()
    config = fastcoord_nodes.configuration(wire)
    cluster = msgspec.structs.replace(config.cluster, stream=name)
    return msgspec.structs.replace(config, cluster=cluster)


@asynccontextmanager
async def publisher(wire: Wire) -> AsyncIterator[tuple[Publish, Flush]]:
    """Publish from node 1."""
    async with fastcoord.connect(await configuration(wire), node_id=1) as node:

        async def publish(events: Sequence[Any]) -> None:
            for event in events:
                await node.publish(event)

        yield publish, node.flush


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Consume at node 2."""
    async with (
        fastcoord.connect(await configuration(wire), node_id=2) as node,
        node.subscribe() as subscription,
    ):

        async def consume(count: int) -> None:
            async for event in subscription:
                if take is not None:
                    take(event)
                count -= 1
                if not count:
                    break
            assert not any(node.stats().missed.values()), node.stats()

        yield consume
