"""A subscription without a node."""

from __future__ import annotations

import asyncio
from typing import Any

import fastcoord
from fastcoord import (
    Event,
)
from fastcoord.receiving.consumer import Consumer, Overflow
from fastcoord.receiving.ring import Ring
from fastcoord.receiving.subscription import Subscription
from support.receiving.receiving_side import PROTOCOL


class SubscriptionHarness:
    """A subscription, and a way to put messages into it as a node does."""

    def __init__(
        self,
        *,
        kinds: Any = None,
        overflow: Overflow = "drop-oldest",
        peers: bool = False,
        connection: bool = False,
        capacity: int = 100,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.closed: list[Ring] = []
        self.consumer = Consumer(
            protocol=PROTOCOL,
            kinds=kinds,
            overflow=overflow,
            peers=peers,
            connection=connection,
            capacity_messages=capacity,
            capacity_bytes=1 << 20,
            on_close=lambda consumer: self.closed.append(consumer.ring),
            loop=loop,
        )
        self.ring = self.consumer.ring
        self.subscription = Subscription(self.consumer)

    def __del__(self) -> None:
        if hasattr(self, "subscription"):
            self.subscription.close()

    def release(self) -> None:
        """Drop the references to the subscription, as a program does that has not closed it."""
        del self.consumer, self.subscription

    def put(self, *events: Event, node_id: int = 7) -> None:
        content = fastcoord.encode_batch(events, node_id=node_id, protocol=PROTOCOL)
        self.consumer.ring.put_message(content, 1, len(events), node_id, 0.0)

    def assert_sum(self) -> None:
        stats = self.subscription.stats()
        assert stats.arrived == stats.delivered + stats.buffered + stats.filtered + stats.missed
