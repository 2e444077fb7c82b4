"""A subscription without a node: waiting, ending, adding up, folding."""

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


class Bench:
    """A subscription and what the node would put into it."""

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


async def is_waiting(bench: Bench) -> None:
    await until(lambda: bench.consumer.ring.waker is not None, because="the consumer waits")


async def test_waiting_consumer_gets_event() -> None:
    bench = Bench()
    task = asyncio.create_task(take(bench.subscription))
    await is_waiting(bench)
    bench.put(change(1))
    assert await task == change(1)


async def test_two_consumers_share_events() -> None:
    bench = Bench()
    tasks = [asyncio.create_task(take(bench.subscription)) for _ in range(2)]
    await is_waiting(bench)
    bench.put(change(1))
    await until(lambda: any(task.done() for task in tasks), because="one of them has got it")
    await is_waiting(bench)
    bench.put(change(2))
    assert sorted([(await task).change_id for task in tasks]) == [1, 2]


async def test_cancelled_anext_keeps_event() -> None:
    bench = Bench()
    task = asyncio.create_task(take(bench.subscription))
    await is_waiting(bench)
    bench.put(change(1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await take(bench.subscription) == change(1)
    bench.assert_sum()


async def test_busy_consumer_yields_to_tasks() -> None:
    bench = Bench()
    for _ in range(50):
        bench.put(*[change(number) for number in range(500)])
    bench.consumer.end(None)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    taken = [event async for event in bench.subscription]
    task.cancel()
    assert len(taken) == 25_000
    assert turns >= 5
    bench.assert_sum()


async def test_close_ends_waiting_iteration() -> None:
    bench = Bench()

    async def consume() -> list[Any]:
        return [event async for event in bench.subscription]

    task = asyncio.create_task(consume())
    await is_waiting(bench)
    bench.subscription.close()
    assert await task == []
    assert bench.closed == [bench.consumer]


async def test_closed_subscription_still_adds_up() -> None:
    bench = Bench()
    bench.put(change(1), change(2), change(3))
    bench.put(change(4))
    assert await take(bench.subscription) == change(1)
    bench.subscription.close()
    bench.subscription.close()
    with pytest.raises(StopAsyncIteration):
        await bench.subscription.__anext__()
    bench.assert_sum()
    assert bench.subscription.stats().buffered == 3


async def test_context_exit_closes_subscription() -> None:
    bench = Bench()
    async with bench.subscription as events:
        assert events is bench.subscription
    assert bench.closed == [bench.consumer]
    with pytest.raises(StopAsyncIteration):
        await events.__anext__()


async def test_buffered_events_precede_end() -> None:
    bench = Bench()
    bench.put(change(1))
    bench.consumer.end(None)
    bench.put(change(2))
    assert [event async for event in bench.subscription] == [change(1)]


async def test_buffered_events_precede_failure() -> None:
    bench = Bench()
    bench.put(change(1))
    bench.consumer.end(ConnectionLost("gone"))
    batches = bench.subscription.batches()
    batch = await batches.__anext__()
    assert isinstance(batch, fastcoord.Batch)
    assert list(batch) == [change(1)]
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone"):
            await batches.__anext__()
        with pytest.raises(ConnectionLost, match="gone"):
            await bench.subscription.__anext__()


async def test_stats_add_up_always() -> None:
    for overflow in ("drop-oldest", "drop-newest"):
        bench = Bench(kinds=[StateChange], overflow=overflow, capacity=3)
        for number in range(12):
            bench.put(change(number), ReloadSettings(), change(number))
            bench.assert_sum()
            if number % 3 == 0:
                await take(bench.subscription)
                bench.assert_sum()
        bench.consumer.end(None)
        taken = [event async for event in bench.subscription]
        bench.assert_sum()
        stats = bench.subscription.stats()
        told = sum(item.events or 0 for item in taken if isinstance(item, Missed))
        assert told <= stats.missed
        assert stats.buffered == 0
        assert stats.high_water_messages == 3


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        ({}, [Missed(1, 1, "gap")]),
        ({"peers": True}, [PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)]),
        ({"kinds": PeerUp}, [PeerUp(1), Missed(1, 1, "gap")]),
        ({"kinds": [Missed]}, [Missed(1, 1, "gap")]),
        ({"kinds": [StateChange, PeerDown]}, [Missed(1, 1, "gap"), PeerDown(1, True)]),
    ],
)
def test_peer_notices_are_opt_in(options: dict[str, Any], heard: list[Notice]) -> None:
    bench = Bench(**options)
    for notice in (PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)):
        bench.consumer.ring.put_notice(notice)
    told = []
    while (notice := bench.consumer.ring.take_next()) is not None:
        told.append(notice)
    assert told == heard


def test_unknown_overflow_is_refused() -> None:
    with pytest.raises(ValueError, match='"drop-oldest" or "drop-newest", not \'block\''):
        Bench(overflow="block")  # type: ignore[arg-type]


def test_notice_kinds_filter_all_events() -> None:
    bench = Bench(kinds=[PeerDown])
    bench.put(change(1), change(2))
    bench.consumer.ring.put_notice(PeerDown(7, True))
    assert bench.consumer.cursor.take_event() == PeerDown(7, True)
    assert bench.consumer.cursor.take_event() is None
    assert bench.subscription.stats().filtered == 2
    bench.assert_sum()


def test_empty_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="kinds is empty"):
        Bench(kinds=[])


def test_peers_must_be_boolean() -> None:
    with pytest.raises(TypeError, match="peers must be True or False, not list"):
        Bench(peers=[6])  # type: ignore[arg-type]


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
