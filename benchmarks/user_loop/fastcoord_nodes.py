"""fastcoord: one call an event, the same with keywords and ``match``, and lists with batches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastcoord
from benchmarks.data import BATCH
from benchmarks.peers import Wire
from benchmarks.peers.fastcoord_nodes import configuration, version
from benchmarks.user_loop import (
    ACCOUNTS,
    FIRST_CHANGE_ID,
    KINDS,
    REPEATS,
    Answer,
    Produce,
    Read,
    answer,
)
from fastcoord import AppEvent, Node, StateChange, Subscription


class OneCall:
    """``await publish(StateChange(a, c, t))`` and ``async for``."""

    name = "fastcoord, one call an event, async for"
    events = 2_000_000
    version = staticmethod(version)

    @asynccontextmanager
    async def producer(self, wire: Wire) -> AsyncIterator[Produce]:
        """Publish from node 1, or from the node that the wire names."""
        node_id = wire.options.pop("node", 1)
        async with fastcoord.connect(configuration(wire), node_id=node_id) as node:
            make = self.app_events if wire.kind == "AppEvent" else self.changes

            async def produce(count: int) -> None:
                await make(node, count)
                await node.flush()

            yield produce

    @asynccontextmanager
    async def reader(self, wire: Wire) -> AsyncIterator[Read]:
        """Read at a node of its own."""
        node_id = wire.options.pop("node", 100)
        async with (
            fastcoord.connect(configuration(wire), node_id=node_id) as node,
            node.subscribe() as subscription,
        ):

            async def read(count: int) -> Answer:
                take = self.read_app_events if wire.kind == "AppEvent" else self.read_changes
                found = await take(subscription, count)
                assert not any(node.stats().missed.values()), node.stats()
                return answer(wire.kind, *found)

            yield read

    async def changes(self, node: Node, count: int) -> None:
        """Make and publish changes."""
        publish = node.publish
        for number in range(count):
            await publish(StateChange(number % ACCOUNTS, FIRST_CHANGE_ID + number, number % 64))

    async def app_events(self, node: Node, count: int) -> None:
        """Make and publish events of the application, each a message of its own."""
        publish = node.publish
        for number in range(count):
            await publish(AppEvent(number % KINDS, number.to_bytes(4, "big") * REPEATS))

    async def read_changes(
        self, subscription: Subscription, count: int
    ) -> tuple[dict[int, Any], int]:
        """Read every field of each change."""
        last: dict[int, Any] = {}
        total = 0
        async for event in subscription:
            last[event.account_id] = event.change_id  # type: ignore[union-attr]
            total += event.types  # type: ignore[union-attr]
            count -= 1
            if not count:
                break
        return last, total

    async def read_app_events(
        self, subscription: Subscription, count: int
    ) -> tuple[dict[int, Any], int]:
        """Read every field of each event of the application."""
        last: dict[int, Any] = {}
        total = 0
        async for event in subscription:
            last[event.kind] = event.payload  # type: ignore[union-attr]
            total += event.kind  # type: ignore[union-attr]
            count -= 1
            if not count:
                break
        return last, total


class KeywordsAndMatch(OneCall):
    """The same with keywords and ``match``."""

    name = "fastcoord, keywords and match"

    async def changes(self, node: Node, count: int) -> None:
        """Make and publish changes."""
        publish = node.publish
        for number in range(count):
            await publish(
                StateChange(
                    account_id=number % ACCOUNTS,
                    change_id=FIRST_CHANGE_ID + number,
                    types=number % 64,
                )
            )

    async def read_changes(
        self, subscription: Subscription, count: int
    ) -> tuple[dict[int, Any], int]:
        """Read every field of each change."""
        last: dict[int, Any] = {}
        total = 0
        async for event in subscription:
            match event:
                case StateChange(account_id=account_id, change_id=change_id, types=types):
                    last[account_id] = change_id
                    total += types
            count -= 1
            if not count:
                break
        return last, total


class Lists(OneCall):
    """``publish_many`` of 100, and ``.batches()``."""

    name = "fastcoord, publish_many and batches"

    async def changes(self, node: Node, count: int) -> None:
        """Make and publish changes."""
        for start in range(0, count, BATCH):
            await node.publish_many(
                [
                    StateChange(number % ACCOUNTS, FIRST_CHANGE_ID + number, number % 64)
                    for number in range(start, min(count, start + BATCH))
                ]
            )

    async def read_changes(
        self, subscription: Subscription, count: int
    ) -> tuple[dict[int, Any], int]:
        """Read every field of each change."""
        last: dict[int, Any] = {}
        total = 0
        async for batch in subscription.batches():
            for event in batch:  # type: ignore[union-attr]
                last[event.account_id] = event.change_id
                total += event.types
            count -= len(batch)  # type: ignore[arg-type]
            if count <= 0:
                break
        return last, total
