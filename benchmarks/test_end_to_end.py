"""Two nodes in one process on a real server, from objects to objects."""

import asyncio
from typing import Any

import pytest

import fastcoord
from benchmarks import data
from fastcoord.server import LocalServer

EVENTS = 20_000
NODE = """
[store."nats"]
type = "nats"
address = ["{url}"]
capacity.subscription = 1048576

[cluster]
coordinator = "nats"
protocol = "fastcoord-1"
"""


async def exchange(config: fastcoord.Config, events: list[Any], form: str) -> list[Any]:
    """Send events from one node to another."""
    async with (
        fastcoord.connect(config, node_id=1) as publisher,
        fastcoord.connect(config, node_id=2) as subscriber,
        subscriber.subscribe() as subscription,
    ):
        taken: list[Any] = []

        async def consume() -> None:
            if form == "one by one":
                async for event in subscription:
                    taken.append(event)
                    if len(taken) == len(events):
                        return
            async for batch in subscription.batches():
                taken.extend(batch)
                if len(taken) == len(events):
                    return

        consumer = asyncio.create_task(consume())
        if form == "one by one":
            for event in events:
                await publisher.publish(event)
        else:
            for start in range(0, len(events), data.BATCH):
                await publisher.publish_many(events[start : start + data.BATCH])
        await asyncio.wait_for(consumer, 30)
        return taken


@pytest.mark.parametrize("form", ["one by one", "in lists"])
def test_end_to_end(benchmark: Any, form: str) -> None:
    events = data.numbered(EVENTS)
    benchmark.group = f"{EVENTS} events from node to node, including the connections"
    with LocalServer() as server:
        config = fastcoord.parse_config(NODE.format(url=server.url))
        taken = benchmark(lambda: asyncio.run(exchange(config, events, form)))
    assert taken == events
