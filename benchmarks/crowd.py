"""Many nodes of fastcoord in one process: what a growing cluster costs each of its members."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import fastcoord
from benchmarks import data, peers, ticker
from benchmarks.peers.fastcoord_nodes import configuration

FIRST_NODE_ID = 100


async def connected(stack: AsyncExitStack, wire: peers.Wire, nodes: int) -> list[Any]:
    """Connect so many nodes."""
    config = configuration(wire)
    return [
        await stack.enter_async_context(fastcoord.connect(config, node_id=FIRST_NODE_ID + number))
        for number in range(nodes)
    ]


async def subscribe(job: dict[str, Any], wire: peers.Wire, say: Any) -> None:
    """Let every node of a crowd consume the same events."""
    async with AsyncExitStack() as stack:
        nodes = await connected(stack, wire, job["nodes"])
        subscriptions = [await stack.enter_async_context(node.subscribe()) for node in nodes]

        async def consume(subscription: Any) -> None:
            left = job["count"]
            async for batch in subscription.batches():
                left -= len(batch)
                if left <= 0:
                    return

        say(ready=True)
        problem = None
        try:
            await asyncio.wait_for(asyncio.gather(*map(consume, subscriptions)), job["patience"])
        except asyncio.TimeoutError:
            problem = f"not everything had arrived after {job['patience']} s"
        say(end=time.monotonic_ns(), problem=problem)


async def publish(job: dict[str, Any], wire: peers.Wire, say: Any, told: Any) -> None:
    """Let the nodes of a crowd publish in turns, at a rate that they share."""
    count, rate, at_once = job["count"], job["rate"], job["at_once"]
    async with AsyncExitStack() as stack:
        nodes = await connected(stack, wire, job["nodes"])
        events = data.numbered(count)
        say(ready=True, version=fastcoord.__version__)
        start = int(json.loads(await told())["start"])
        sent = turn = 0
        with ticker.Ticker(start, at_once * 1_000_000_000 // rate) as ticks:
            while sent < count:
                for _ in range(await ticks.wait()):
                    node = nodes[turn % len(nodes)]
                    await node.publish_many(events[sent : sent + at_once])
                    sent, turn = sent + at_once, turn + 1
        for node in nodes:
            await node.flush()
        say(start=start, end=time.monotonic_ns())
        await told()
