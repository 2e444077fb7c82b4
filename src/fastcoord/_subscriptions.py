"""The open subscriptions of a node, and the sums of those that were closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from fastcoord.receiving.consumer import Consumer
from fastcoord.stats import SubscriptionStats

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.receiving.consumer import Kinds, Overflow
    from fastcoord.receiving.receiver import Receiver

__all__ = ["Subscriptions"]

MAX_NAMES = 100
OTHER_NAMES = "other"
SUMMED = ("arrived", "delivered", "buffered", "filtered", "mismatched", "missed")
"""The fields of the stats that are sums of events."""


class Subscriptions:
    """Create the consumers of subscriptions, and keep their stats.

    :param config: the configuration of the node.
    :param receiver: puts the messages into the rings of the consumers.
    """

    def __init__(self, config: Config, receiver: Receiver) -> None:
        self._config = config
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        # The references are weak: a subscription ends when the program no longer refers to it.
        self._consumers: WeakValueDictionary[int, Consumer] = WeakValueDictionary()
        self._names: set[str] = set()
        self._closed: dict[str | None, SubscriptionStats] = {}
        self._closed_missed = 0

    def open(
        self,
        *,
        kinds: Kinds | None,
        overflow: Overflow,
        peers: bool,
        connection: bool,
        name: str | None,
        is_replaying: bool = False,
    ) -> Consumer:
        """Create the consumer of a new subscription.

        :param is_replaying: whether a replay feeds it with events, and the receiver with notices.
        """
        capacity = self._config.nats.capacity
        consumer = Consumer(
            protocol=self._config.cluster.protocol,
            kinds=kinds,
            overflow=overflow,
            peers=peers,
            connection=connection,
            name=self._limited_name(name),
            capacity_messages=capacity.subscription,
            capacity_bytes=capacity.subscription_bytes,
            on_close=self._remove,
            loop=self._loop,
        )
        self._consumers[id(consumer.ring)] = consumer
        consumer.ring.is_replaying = is_replaying
        self._receiver.add_ring(consumer.ring)
        return consumer

    def _limited_name(self, name: str | None) -> str | None:
        """Check a name. A node keeps sums for each name, so it keeps a limited number of names."""
        if name is None:
            return None
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {type(name).__name__}")
        if not name:
            raise ValueError("name is empty: leave it out for a subscription without a name")
        if name not in self._names:
            if len(self._names) >= MAX_NAMES:
                return OTHER_NAMES
            self._names.add(name)
        return name

    def _remove(self, consumer: Consumer) -> None:
        self._receiver.remove_ring(consumer.ring)
        self._consumers.pop(id(consumer.ring), None)
        stats = consumer.stats()
        self._closed_missed += stats.missed
        before = self._closed.get(stats.name)
        self._closed[stats.name] = stats if before is None else add(before, stats)

    def all(self) -> list[Consumer]:
        """Return the open consumers."""
        return list(self._consumers.values())

    def open_stats(self) -> tuple[SubscriptionStats, ...]:
        """Return the stats of each open subscription."""
        return tuple(consumer.stats() for consumer in self.all())

    def closed_stats(self) -> tuple[SubscriptionStats, ...]:
        """Return the sums of the closed subscriptions, one for each name."""
        return tuple(self._closed.values())

    @property
    def missed(self) -> int:
        """The number of events that all subscriptions together have dropped so far."""
        return self._closed_missed + sum(consumer.ring.missed for consumer in self.all())

    def tick(self, now: float) -> None:
        """Note which rings are more than half full, and wake consumers whose wake-up was lost."""
        for consumer in self.all():
            consumer.check_fill(now)
            consumer.wake()

    def slow(self, now: float, limit: float) -> list[str]:
        """Describe the subscriptions that have been more than half full for too long.

        :param now: the loop's time.
        :param limit: the longest time that is acceptable, in seconds.
        """
        return [
            description
            for consumer in self.all()
            if (description := consumer.describe_backlog(now, limit)) is not None
        ]

    def end(self, failure: Exception | None) -> None:
        """End the iterations after what is buffered.

        :param failure: raised at the end of the iterations, if given.
        """
        for consumer in self.all():
            if not consumer.ring.is_closed:
                consumer.end(failure)


def add(one: SubscriptionStats, other: SubscriptionStats) -> SubscriptionStats:
    """Add the sums of events; take the other fields of the second one."""
    values = {field: getattr(other, field) for field in other.__struct_fields__}
    values |= {field: getattr(one, field) + values[field] for field in SUMMED}
    values["high_water_messages"] = max(one.high_water_messages, other.high_water_messages)
    return SubscriptionStats(**values)
