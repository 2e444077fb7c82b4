"""A subscription without a node: waiting, ending, stats, folding of notices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import fastcoord
from fastcoord import (
    ConnectionLost,
    DuplicateNodeId,
    Event,
    Missed,
    Notice,
    PeerDown,
    PeerUp,
    ReloadSettings,
    StateChange,
)
from fastcoord.receiving.consumer import Consumer, Overflow, fold, split_kinds
from fastcoord.receiving.subscription import Subscription
from support.receiving.receiving_side import PROTOCOL
from support.wait import until


class Harness:
    """A subscription, and a way to put messages into it as a node does."""

    def __init__(
        self,
        *,
        kinds: Any = None,
        overflow: Overflow = "drop-oldest",
        peers: bool = False,
        capacity: int = 100,
    ) -> None:
        self.closed: list[Consumer] = []
        self.consumer = Consumer(
            protocol=PROTOCOL,
            kinds=kinds,
            overflow=overflow,
            peers=peers,
            capacity_messages=capacity,
            capacity_bytes=1 << 20,
            on_close=self.closed.append,
        )
        self.subscription = Subscription(self.consumer)

    def put(self, *events: Event, node_id: int = 7) -> None:
        content = fastcoord.encode_batch(events, node_id=node_id, protocol=PROTOCOL)
        self.consumer.ring.put_message(content, 1, len(events), node_id, 0.0)

    def assert_sum(self) -> None:
        stats = self.subscription.stats()
        assert stats.arrived == stats.delivered + stats.buffered + stats.filtered + stats.missed


def change(number: int) -> StateChange:
    return StateChange(1, number, 0)


async def take(subscription: Subscription) -> Any:
    return await subscription.__anext__()


async def is_waiting(harness: Harness) -> None:
    await until(lambda: harness.consumer.ring.waker is not None, because="the consumer is waiting")


async def test_waiting_consumer_gets_event() -> None:
    harness = Harness()
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    harness.put(change(1))
    assert await task == change(1)


async def test_two_consumers_share_events() -> None:
    harness = Harness()
    tasks = [asyncio.create_task(take(harness.subscription)) for _ in range(2)]
    await is_waiting(harness)
    harness.put(change(1))
    await until(lambda: any(task.done() for task in tasks), because="one of them got the event")
    await is_waiting(harness)
    harness.put(change(2))
    assert sorted([(await task).change_id for task in tasks]) == [1, 2]


async def test_cancelled_anext_keeps_event() -> None:
    harness = Harness()
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    harness.put(change(1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await take(harness.subscription) == change(1)
    harness.assert_sum()


async def test_busy_consumer_yields_to_tasks() -> None:
    harness = Harness()
    for _ in range(50):
        harness.put(*[change(number) for number in range(500)])
    harness.consumer.end(None)
    iterations = 0

    async def other() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    taken = [event async for event in harness.subscription]
    task.cancel()
    assert len(taken) == 25_000
    assert iterations >= 5
    harness.assert_sum()


async def test_close_ends_waiting_iteration() -> None:
    harness = Harness()

    async def consume() -> list[Any]:
        return [event async for event in harness.subscription]

    task = asyncio.create_task(consume())
    await is_waiting(harness)
    harness.subscription.close()
    assert await task == []
    assert harness.closed == [harness.consumer]


async def test_closed_subscription_still_adds_up() -> None:
    harness = Harness()
    harness.put(change(1), change(2), change(3))
    harness.put(change(4))
    assert await take(harness.subscription) == change(1)
    harness.subscription.close()
    harness.subscription.close()
    with pytest.raises(StopAsyncIteration):
        await harness.subscription.__anext__()
    harness.assert_sum()
    assert harness.subscription.stats().buffered == 3


async def test_context_exit_closes_subscription() -> None:
    harness = Harness()
    async with harness.subscription as events:
        assert events is harness.subscription
    assert harness.closed == [harness.consumer]
    with pytest.raises(StopAsyncIteration):
        await events.__anext__()


async def test_buffered_events_precede_end() -> None:
    harness = Harness()
    harness.put(change(1))
    harness.consumer.end(None)
    harness.put(change(2))
    assert [event async for event in harness.subscription] == [change(1)]


async def test_buffered_events_precede_failure() -> None:
    harness = Harness()
    harness.put(change(1))
    harness.consumer.end(ConnectionLost("gone"))
    batches = harness.subscription.batches()
    batch = await batches.__anext__()
    assert isinstance(batch, fastcoord.Batch)
    assert list(batch) == [change(1)]
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone"):
            await batches.__anext__()
        with pytest.raises(ConnectionLost, match="gone"):
            await harness.subscription.__anext__()


async def test_stats_add_up_always() -> None:
    for overflow in ("drop-oldest", "drop-newest"):
        harness = Harness(kinds=[StateChange], overflow=overflow, capacity=3)
        for number in range(12):
            harness.put(change(number), ReloadSettings(), change(number))
            harness.assert_sum()
            if number % 3 == 0:
                await take(harness.subscription)
                harness.assert_sum()
        harness.consumer.end(None)
        taken = [event async for event in harness.subscription]
        harness.assert_sum()
        stats = harness.subscription.stats()
        reported = sum(item.events or 0 for item in taken if isinstance(item, Missed))
        assert reported <= stats.missed
        assert stats.buffered == 0
        assert stats.high_water_messages == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [Missed(1, 1, "gap")]),
        ({"peers": True}, [PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)]),
        ({"kinds": PeerUp}, [PeerUp(1), Missed(1, 1, "gap")]),
        ({"kinds": [Missed]}, [Missed(1, 1, "gap")]),
        ({"kinds": [StateChange, PeerDown]}, [Missed(1, 1, "gap"), PeerDown(1, True)]),
    ],
)
def test_peer_notices_are_opt_in(options: dict[str, Any], expected: list[Notice]) -> None:
    harness = Harness(**options)
    for notice in (PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)):
        harness.consumer.ring.put_notice(notice)
    reported = []
    while (notice := harness.consumer.ring.take_next()) is not None:
        reported.append(notice)
    assert reported == expected


def test_unknown_overflow_is_refused() -> None:
    with pytest.raises(ValueError, match='"drop-oldest" or "drop-newest", not \'block\''):
        Harness(overflow="block")  # type: ignore[arg-type]


def test_notice_kinds_filter_all_events() -> None:
    harness = Harness(kinds=[PeerDown])
    harness.put(change(1), change(2))
    harness.consumer.ring.put_notice(PeerDown(7, True))
    assert harness.consumer.cursor.take_event() == PeerDown(7, True)
    assert harness.consumer.cursor.take_event() is None
    assert harness.subscription.stats().filtered == 2
    harness.assert_sum()


def test_empty_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="kinds is empty"):
        Harness(kinds=[])


def test_peers_must_be_boolean() -> None:
    with pytest.raises(TypeError, match="peers must be True or False, not list"):
        Harness(peers=[6])  # type: ignore[arg-type]


def test_kinds_split_events_and_notices() -> None:
    assert split_kinds(None) == (None, [])
    assert split_kinds([StateChange, PeerUp]) == ([StateChange], [PeerUp])
    assert split_kinds(kind for kind in (PeerUp,)) == ([], [PeerUp])


# ---------------------------------------------------------------------------------- folding


def folded(*notices: Any) -> list[Notice]:
    carried: dict[object, Notice] = {}
    for notice in notices:
        fold(carried, notice)
    return list(carried.values())


def test_losses_fold_by_node_and_cause() -> None:
    assert folded(
        Missed(1, 2, "gap"), Missed(2, 3, "gap"), Missed(1, 4, "gap"), Missed(1, 5, "discarded")
    ) == [Missed(1, 6, "gap"), Missed(2, 3, "gap"), Missed(1, 5, "discarded")]


def test_unknown_loss_makes_sum_unknown() -> None:
    for losses in ((None, 4), (4, None), (None, None)):
        missed = [Missed(1, events, "gap") for events in losses]
        assert folded(*missed) == [Missed(1, None, "gap")]


def test_overflows_fold_by_node() -> None:
    assert folded({1: 2, 2: 3}, {2: 4}, Missed(1, 5, "overflow")) == [
        Missed(1, 7, "overflow"),
        Missed(2, 7, "overflow"),
    ]


def test_last_peer_notice_wins() -> None:
    assert folded(PeerUp(1), PeerUp(2), PeerDown(1, False), PeerUp(1), PeerDown(2, True)) == [
        PeerUp(1),
        PeerDown(2, True),
    ]


def test_duplicate_id_is_reported_once() -> None:
    assert folded(DuplicateNodeId(1), DuplicateNodeId(1), DuplicateNodeId(2)) == [
        DuplicateNodeId(1),
        DuplicateNodeId(2),
    ]


def test_disconnect_is_reported_once() -> None:
    absence = Missed(None, None, "disconnect")
    assert folded(absence, absence) == [absence]


def test_other_notices_are_kept() -> None:
    class Other(Notice, frozen=True):
        pass

    assert folded(Other(), Other()) == [Other(), Other()]
