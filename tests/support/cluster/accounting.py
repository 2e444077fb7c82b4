"""The sums that a node's stats must satisfy at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import fastcoord
from fastcoord import Node, Stats, SubscriptionStats
from support.cluster.nodes import Reachable, joined


def assert_accounts(*nodes: Node) -> None:
    """Assert the sums of each node and of its open subscriptions."""
    for node in nodes:
        assert_sums(node.stats())


def assert_sums(stats: Stats) -> None:
    """Assert that every accepted and every arrived event is accounted for."""
    assert stats.accepted == stats.confirmed + stats.waiting + stats.discarded, stats
    for subscription in stats.subscriptions:
        assert_subscription_sum(subscription)


def assert_subscription_sum(stats: SubscriptionStats) -> None:
    """Assert that every event that arrived at a subscription is accounted for."""
    seen = stats.delivered + stats.buffered + stats.filtered + stats.missed
    assert stats.arrived == seen, stats


@asynccontextmanager
async def accounted(
    servers: Reachable | Iterable[Reachable], node_id: int, **settings: Any
) -> AsyncIterator[Node]:
    """Connect a node and check its sums at the end of the context and after it is closed.

    :param servers: one or several servers.
    :param node_id: the node's id.
    :param settings: those of :func:`support.cluster.nodes.node_toml`.
    """
    async with joined(servers, node_id, **settings) as node:
        yield node
        assert_accounts(node)
    assert_accounts(node)


async def collect(events: Any, count: int, *, seconds: float = 120.0) -> list[Any]:
    """Take ``count`` items from a subscription, or batches from its ``batches()``.

    :param events: an async iterator.
    :param seconds: fail after this time.
    """

    async def take() -> list[Any]:
        return [await events.__anext__() for _ in range(count)]

    return await asyncio.wait_for(take(), seconds)


def drain(events: fastcoord.Subscription) -> list[Any]:
    """Take all buffered items of a subscription without waiting."""
    taken = []
    while (value := events._consumer.take_event()) is not None:
        taken.append(value)
    return taken
