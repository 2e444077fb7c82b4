"""Every event is somewhere: the sums that a node's numbers must add up to, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import fastcoord
from fastcoord import Node, Stats, SubscriptionStats
from support.cluster.nodes import Reachable, joined


def assert_accounts(*nodes: Node) -> None:
    """Assert both identities on each node as it stands, its open subscriptions included."""
    for node in nodes:
        assert_sums(node.stats())


def assert_sums(stats: Stats) -> None:
    """Assert that what a node accepted and what each subscription heard is accounted for."""
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
    """Connect a node whose sums are checked when the test is done with it, and after its end.

    :param servers: where to connect.
    :param node_id: the node's id.
    :param settings: those of :func:`support.cluster.nodes.node_toml`.
    """
    async with joined(servers, node_id, **settings) as node:
        yield node
        assert_accounts(node)
    assert_accounts(node)


async def collect(events: Any, count: int, *, seconds: float = 30.0) -> list[Any]:
    """Take this many events and notices from a subscription, or batches from its ``batches()``.

    :param events: anything to iterate over.
    :param seconds: fail when they have not come by then.
    """

    async def take() -> list[Any]:
        return [await events.__anext__() for _ in range(count)]

    return await asyncio.wait_for(take(), seconds)


def drain(events: fastcoord.Subscription) -> list[Any]:
    """Take everything that waits in a subscription, without waiting for more."""
    taken = []
    while (value := events._consumer.cursor.take_event()) is not None:
        taken.append(value)
    return taken
