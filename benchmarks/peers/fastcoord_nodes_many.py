"""fastcoord with lists of events published and batches received."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import fastcoord
from benchmarks.data import BATCH
from benchmarks.peers import Consume, Flush, Publish, Take, Wire
from benchmarks.peers.fastcoord_nodes import configuration, prepare, version

NAME = "fastcoord, publish_many and batches"
EVENTS = 6_000_000

__all__ = ["EVENTS", "NAME", "prepare", "publisher", "subscriber", "version"]


@asynccontextmanager
async def publisher(wire: Wire) -> AsyncIterator[tuple[Publish, Flush]]:
    """Publish lists of 100 from node 1."""
    async with fastcoord.connect(configuration(wire), node_id=1) as node:

        async def publish(events: Sequence[Any]) -> None:
            for start in range(0, len(events), BATCH):
                await node.publish_many(events[start : start + BATCH])

        yield publish, node.flush


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Consume batches, and each of their events, at node 2."""
    async with (
        fastcoord.connect(configuration(wire), node_id=2) as node,
        node.subscribe() as subscription,
    ):

        async def consume(count: int) -> None:
            async for batch in subscription.batches():
                for event in batch:
                    if take is not None:
                        take(event)
                    count -= 1
                if count <= 0:
                    break
            assert not any(node.stats().missed.values()), node.stats()

        yield consume
