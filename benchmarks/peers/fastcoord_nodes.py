"""fastcoord with one call for each event, published and received as objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import fastcoord
from benchmarks.peers import Consume, Flush, Publish, Take, Wire

NAME = "fastcoord"
EVENTS = 2_000_000

BUFFERS = {"capacity.subscription": 4_194_304, "capacity.subscription-bytes": "4GB"}


def version() -> str:
    """Return the version of fastcoord."""
    return fastcoord.__version__


def prepare(events: Sequence[Any]) -> list[Any]:
    """Return the events unchanged."""
    return list(events)


def configuration(wire: Wire) -> fastcoord.Config:
    """Return the configuration of a node; a subscription can hold a whole run."""
    store = "\n".join(
        f"{key} = {value if isinstance(value, int) else repr(value)}"
        for key, value in {**BUFFERS, **wire.options}.items()
    )
    return fastcoord.parse_config(
        f'[store."nats"]\ntype = "nats"\naddress = ["{wire.url}"]\n{store}\n[cluster]\n'
        f'coordinator = "nats"\nprotocol = "fastcoord-1"\nsubject = "{wire.subject}"\n'
    )


@asynccontextmanager
async def publisher(wire: Wire) -> AsyncIterator[tuple[Publish, Flush]]:
    """Publish from node 1."""
    async with fastcoord.connect(configuration(wire), node_id=1) as node:

        async def publish(events: Sequence[Any]) -> None:
            for event in events:
                await node.publish(event)

        yield publish, node.flush


@asynccontextmanager
async def subscriber(wire: Wire, take: Take | None) -> AsyncIterator[Consume]:
    """Consume at node 2."""
    async with (
        fastcoord.connect(configuration(wire), node_id=2) as node,
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
