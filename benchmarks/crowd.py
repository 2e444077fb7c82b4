"""Many nodes in one process: the cost of a growing cluster for each of its nodes."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import fastcoord
from benchmarks import data, peers
from benchmarks.peers.fastcoord_nodes import configuration
from fastcoord.tuning import ticker

FIRST_NODE_ID = 100


async def connected(stack: AsyncExitStack, wire: peers.Wire, nodes: int) -> list[Any]:
    """Connect the nodes."""
    config = configuration(wire)
    return [
        await stack.enter_async_context(fastcoord.connect(config, node_id=FIRST_NODE_ID + number))
        for number in range(nodes)
    ]


async def subscribe(job: dict[str, Any], wire: peers.Wire, report: Any) -> None:
    """Consume the same events at every node."""
    async with AsyncExitStack() as stack:
        nodes = await connected(stack, wire, job["nodes"])
        subscriptions = [await stack.enter_async_context(node.subscribe()) for node in nodes]

        async def consume(subscription: Any) -> None:
            left = job["count"]
            async for batch in subscription.batches():
                left -= len(batch)
                if left <= 0:
                    return

        report(ready=True)
        problem = None
        try:
            await asyncio.wait_for(asyncio.gather(*map(consume, subscriptions)), job["patience"])
        except asyncio.TimeoutError:
            problem = f"not everything had arrived after {job['patience']} s"
        report(end=time.monotonic_ns(), problem=problem)


async def publish(job: dict[str, Any], wire: peers.Wire, report: Any, next_line: Any) -> None:
    """Publish from the nodes in rotation, at a rate that they share."""
    count, rate, at_once = job["count"], job["rate"], job["at_once"]
    async with AsyncExitStack() as stack:
        nodes = await connected(stack, wire, job["nodes"])
        events = data.numbered(count)
        report(ready=True, version=fastcoord.__version__)
        start = int(json.loads(await next_line())["start"])
        sent = lists = 0
        with ticker.Ticker(start, at_once * 1_000_000_000 // rate) as ticks:
            while sent < count:
                for _ in range(await ticks.wait()):
                    node = nodes[lists % len(nodes)]
                    await node.publish_many(events[sent : sent + at_once])
                    sent, lists = sent + at_once, lists + 1
        for node in nodes:
            await node.flush()
        report(start=start, end=time.monotonic_ns())
        await next_line()
