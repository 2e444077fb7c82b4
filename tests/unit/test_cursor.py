"""The cursor in small cases: one event at a time, batches, filters, fairness, awaitables."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import fastcoord
from fastcoord import Batch, EmailPush, Event, Missed, ReloadSettings, StateChange
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.notices import overflow_notices
from fastcoord.receiving.ring import Ring
from support.receiving.receiving_side import PROTOCOL

EVENTS_PER_ITERATION = 4096


def change(number: int) -> StateChange:
    return StateChange(1, number, 0)


class Consumer:
    """A cursor on a ring."""

    def __init__(
        self, *, kinds: list[type[Event]] | None = None, capacity: int = 100, **options: Any
    ) -> None:
        self.ring = Ring(capacity, 1 << 24, **options)
        self.cursor = Cursor(
            self.ring,
            protocol=PROTOCOL,
            kinds=kinds,
            as_notices=overflow_notices,
            get_loop=asyncio.get_running_loop,
        )

    def put(self, *events: Event, node_id: int = 7) -> None:
        content = fastcoord.encode_batch(events, node_id=node_id, protocol=PROTOCOL)
        self.ring.put_message(content, 1, len(events), node_id, 5.0)

    def take_all(self) -> list[Any]:
        out = []
        while (item := self.cursor.take_event()) is not None:
            out.append(item)
        return out

    def assert_sum(self) -> None:
        cursor, ring = self.cursor, self.ring
        assert ring.arrived == (cursor.delivered + cursor.buffered + cursor.filtered + ring.missed)


def test_single_events_are_counted() -> None:
    consumer = Consumer()
    consumer.put(change(1), ReloadSettings(), change(2))
    consumer.put(change(3))
    taken = []
    while (event := consumer.cursor.take_event()) is not None:
        taken.append(event)
        consumer.assert_sum()
        assert consumer.cursor.delivered == len(taken)
    assert taken == [change(1), ReloadSettings(), change(2), change(3)]
    assert consumer.cursor.buffered == 0


def test_batches_come_out_whole() -> None:
    consumer = Consumer()
    consumer.put(change(1), change(2))
    consumer.put(change(3), node_id=9)
    first, second = consumer.cursor.take_batch(), consumer.cursor.take_batch()
    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert (first.node_id, list(first)) == (7, [change(1), change(2)])
    assert (second.node_id, list(second)) == (9, [change(3)])
    assert consumer.cursor.take_batch() is None
    consumer.assert_sum()


def test_batch_gives_rest_of_message() -> None:
    consumer = Consumer()
    consumer.put(change(1), change(2), change(3))
    assert consumer.cursor.take_event() == change(1)
    rest = consumer.cursor.take_batch()
    assert isinstance(rest, Batch)
    assert list(rest) == [change(2), change(3)]
    consumer.assert_sum()


def test_report_keeps_sequence_before_its_successor() -> None:
    """A program that stops after the report continues behind the last message that it has seen."""
    consumer = Consumer(capacity=1, drop_newest=True)
    for sequence in (5, 6):
        consumer.ring.sequence = sequence
        consumer.put(change(sequence))
    assert consumer.cursor.take_event() == change(5)
    consumer.ring.sequence = 7
    consumer.put(change(7))
    seen = []
    while (item := consumer.cursor.take_event()) is not None:
        seen.append((item, consumer.cursor.sequence))
    assert seen[-1] == (change(7), 7)
    assert all(sequence is not None and sequence < 7 for _, sequence in seen[:-1])


@pytest.mark.parametrize("kinds", [None, [StateChange], [ReloadSettings, EmailPush]])
@pytest.mark.parametrize("first", [0, 1, 31, 32, 33, 64, 99])
def test_events_and_batches_may_alternate(kinds: list[type[Event]] | None, first: int) -> None:
    """A batch also contains events that were already decoded for single takes."""
    events: list[Event] = [
        ReloadSettings()
        if number % 7 == 3
        else EmailPush(1, 2, number)
        if number % 5 == 4
        else change(number)
        for number in range(100)
    ]
    wanted = [event for event in events if kinds is None or type(event) in kinds]
    consumer = Consumer(kinds=kinds)
    consumer.put(*events)
    consumer.put(*events)
    taken: list[Any] = []
    for _ in range(min(first, len(wanted))):
        taken.append(consumer.cursor.take_event())
        consumer.assert_sum()
    while (batch := consumer.cursor.take_batch()) is not None:
        assert isinstance(batch, Batch)
        taken += batch
        consumer.assert_sum()
    assert taken == [*wanted, *wanted]
    assert consumer.cursor.delivered == len(taken)
    assert consumer.cursor.filtered == 200 - len(taken)


def test_detached_cursor_drops_decoded_events() -> None:
    consumer = Consumer()
    consumer.put(*[change(number) for number in range(100)])
    assert consumer.cursor.take_event() == change(0)
    assert consumer.cursor.buffered == 99
    consumer.cursor.drop()
    assert consumer.cursor.buffered == 0
    assert consumer.cursor.take_event() is None


def test_filtered_events_are_only_counted() -> None:
    consumer = Consumer(kinds=[ReloadSettings])
    consumer.put(change(1), ReloadSettings(), change(2))
    consumer.put(change(3))
    consumer.put(ReloadSettings())
    assert consumer.take_all() == [ReloadSettings(), ReloadSettings()]
    assert (consumer.cursor.delivered, consumer.cursor.filtered) == (2, 3)
    consumer.assert_sum()


def test_fully_filtered_batch_is_skipped() -> None:
    consumer = Consumer(kinds=[ReloadSettings])
    consumer.put(change(1))
    consumer.put(change(2), ReloadSettings())
    batch = consumer.cursor.take_batch()
    assert isinstance(batch, Batch)
    assert list(batch) == [ReloadSettings()]
    assert consumer.cursor.take_batch() is None
    assert consumer.cursor.filtered == 2


@pytest.mark.parametrize("drop_newest", [False, True])
def test_loss_is_reported_in_place(drop_newest: bool) -> None:
    consumer = Consumer(capacity=2, drop_newest=drop_newest)
    consumer.put(change(1), change(2), node_id=1)
    consumer.put(change(3), node_id=2)
    assert consumer.cursor.take_event() == change(1)
    for number in (4, 5, 6):
        consumer.put(change(number), node_id=number % 2)
    losses = [Missed(node, 1, "overflow") for node in ((0, 1) if drop_newest else (2, 0))]
    if drop_newest:
        losses = [Missed(1, 1, "overflow"), Missed(0, 1, "overflow")]
        expected = [change(2), change(3), change(4), *losses]
    else:
        expected = [change(2), *losses, change(5), change(6)]
    assert consumer.take_all() == expected
    consumer.assert_sum()


def test_notices_keep_order_everywhere() -> None:
    for in_batches in (False, True):
        consumer = Consumer()
        consumer.put(change(1))
        consumer.ring.put_notice(Missed(7, 2, "gap"))
        consumer.put(change(4))
        take = consumer.cursor.take_batch if in_batches else consumer.cursor.take_event
        taken = [take() for _ in range(4)]
        assert taken[1] == Missed(7, 2, "gap")
        assert taken[3] is None


@pytest.mark.parametrize("in_batches", [False, True])
def test_buffered_event_needs_no_wait(in_batches: bool) -> None:
    consumer = Consumer()
    consumer.put(change(1))
    iterator: Any = consumer.cursor.batches() if in_batches else consumer.cursor
    with pytest.raises(StopIteration) as finished:
        iterator.__anext__().send(None)
    assert finished.value.value == (Batch(7, [change(1)]) if in_batches else change(1))


async def test_kept_awaitables_take_in_order() -> None:
    consumer = Consumer()
    consumer.put(*[change(number) for number in range(10)])
    kept = [consumer.cursor.__anext__() for _ in range(10)]
    assert [await each for each in reversed(kept)] == [change(number) for number in range(10)]


async def test_dropped_awaitable_keeps_event() -> None:
    consumer = Consumer()
    consumer.put(*[change(number) for number in range(4)])
    assert await consumer.cursor.__anext__() == change(0)
    consumer.cursor.__anext__()
    assert consumer.cursor.delivered == 1
    consumer.ring.close()
    assert [event async for event in consumer.cursor] == [change(1), change(2), change(3)]


@pytest.mark.parametrize("in_batches", [False, True])
async def test_cancelled_anext_keeps_event(in_batches: bool) -> None:
    consumer = Consumer()
    consumer.put(change(1))
    iterator: Any = consumer.cursor.batches() if in_batches else consumer.cursor
    # The task is cancelled before its first step.
    task = asyncio.ensure_future(iterator.__anext__())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(iterator.__anext__(), 0)
    assert await consumer.cursor.__anext__() == change(1)
    consumer.assert_sum()


async def test_anext_is_a_coroutine() -> None:
    consumer = Consumer()
    consumer.put(change(1), change(2))
    assert await asyncio.create_task(consumer.cursor.__anext__()) == change(1)
    awaitable = consumer.cursor.__anext__()
    assert await awaitable == change(2)
    with pytest.raises(RuntimeError, match="twice"):
        await awaitable
    closed = consumer.cursor.__anext__()
    closed.close()
    with pytest.raises(RuntimeError, match="twice"):
        await closed
    with pytest.raises(KeyError):
        consumer.cursor.__anext__().throw(KeyError("for the test"))


async def test_anext_works_with_wait_for() -> None:
    consumer = Consumer()
    consumer.put(change(1), change(2))

    async def take() -> Any:
        return await consumer.cursor.__anext__()

    assert await asyncio.wait_for(take(), 60) == change(1)
    assert await asyncio.create_task(take()) == change(2)


class Iterations:
    """Counts the iterations of the event loop while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> Iterations:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("kinds", [None, [ReloadSettings]])
@pytest.mark.parametrize("in_batches", [False, True])
async def test_fast_consumer_yields_to_loop(
    kinds: list[type[Event]] | None, in_batches: bool
) -> None:
    """Whether the events are delivered or filtered, one by one or in batches."""
    consumer = Consumer(kinds=kinds)
    events = 8 * EVENTS_PER_ITERATION
    for start in range(0, events, 512):
        consumer.put(*[change(start + number) for number in range(512)])
    consumer.ring.close()
    taken = 0
    async with Iterations() as iterations:
        if in_batches:
            async for batch in consumer.cursor.batches():
                assert isinstance(batch, Batch)
                taken += len(batch)
        else:
            async for _ in consumer.cursor:
                taken += 1
    assert taken == (0 if kinds else events)
    assert consumer.cursor.delivered + consumer.cursor.filtered == events
    assert iterations.count >= 7


def test_detached_cursor_gives_nothing() -> None:
    consumer = Consumer(capacity=1)
    consumer.put(change(1), change(2))
    assert consumer.cursor.take_event() == change(1)
    consumer.ring.clear()
    consumer.cursor.drop()
    assert consumer.cursor.take_event() is None
    assert consumer.cursor.buffered == 0


@pytest.mark.parametrize("kinds", [[int], [Missed], ["StateChange"], [StateChange(1, 2, 3)]])
def test_unknown_kinds_are_refused(kinds: list[Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Consumer(kinds=kinds)


def test_sender_of_each_event() -> None:
    consumer = Consumer()
    assert consumer.cursor.sender is None
    for node_id in (1, 2, 1):
        consumer.put(change(1), ReloadSettings(), *[change(2)] * 40, node_id=node_id)
    senders = []
    while consumer.cursor.take_event() is not None:
        senders.append(consumer.cursor.sender)
    assert senders == [1] * 42 + [2] * 42 + [1] * 42
    assert consumer.cursor.sender == 1


def test_notice_has_no_sender() -> None:
    consumer = Consumer(kinds=[StateChange])
    consumer.put(change(1), node_id=1)
    consumer.ring.put_notice(Missed(2, 5, "gap"))
    consumer.put(change(2), ReloadSettings(), node_id=3)
    found = [(consumer.cursor.take_event(), consumer.cursor.sender) for _ in range(3)]
    assert found == [(change(1), 1), (Missed(2, 5, "gap"), None), (change(2), 3)]
    # The rest of the message is filtered, so the last event is still that of node 3.
    consumer.put(ReloadSettings(), node_id=4)
    assert (consumer.cursor.take_event(), consumer.cursor.sender) == (None, 3)


def test_sender_of_batch() -> None:
    consumer = Consumer()
    consumer.put(change(1), change(2), node_id=5)
    consumer.put(change(3), node_id=6)
    consumer.ring.put_notice(Missed(2, 5, "gap"))
    assert (consumer.cursor.take_event(), consumer.cursor.sender) == (change(1), 5)
    found = [(type(consumer.cursor.take_batch()), consumer.cursor.sender) for _ in range(3)]
    assert found == [(Batch, 5), (Batch, 6), (Missed, None)]
