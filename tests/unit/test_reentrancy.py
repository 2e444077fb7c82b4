"""A finalizer or a signal handler uses a subscription while that one decodes an event."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastcoord import Batch, Event, InvalidateAccessTokens, Missed, SubscriptionError
from fastcoord.receiving.consumer import Consumer
from fastcoord.receiving.cursor import Cursor
from support.receiving.receiving_side import PROTOCOL

EVENTS = 100
PAYLOAD = b"\x07" + b"\x03\x01\x81\x00" * EVENTS
"""From node 7, ``InvalidateAccessTokens([1])``. The 1 takes a byte more than it needs, so decoding
makes a tuple of it, and tuples are what the garbage collector counts."""

runs_in_allocations = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="the garbage collector runs between instructions only"
)


class Finalized:
    """An unreachable cycle that calls a function when the garbage collector finds it."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.cycle = self

    def __del__(self) -> None:
        self.function()


@pytest.fixture
def collector() -> Iterator[None]:
    """Look at new objects only, and restore the garbage collector afterwards."""
    thresholds = gc.get_threshold()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def new_consumer(*, messages: int = 2, **options: Any) -> Consumer:
    options = {"capacity_messages": 10, "overflow": "drop-oldest", **options}
    consumer = Consumer(
        protocol=PROTOCOL,
        kinds=None,
        peers=False,
        capacity_bytes=1 << 20,
        on_close=lambda consumer: None,
        **options,
    )
    for _ in range(messages):
        consumer.ring.put_message(PAYLOAD, 1, EVENTS, 7, 0.0)
    return consumer


def step(consumer: Consumer, in_batches: bool) -> list[Event]:
    """Take what one step of an iteration gives."""
    iterator: Any = consumer.batches() if in_batches else consumer
    try:
        iterator.__anext__().send(None)
    except StopIteration as finished:
        value = finished.value
        return list(value) if isinstance(value, Batch) else [value]
    except StopAsyncIteration:
        return []
    raise AssertionError("the consumer waits, although it is closed or its ring is not empty")


@runs_in_allocations
@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.usefixtures("collector")
def test_finalizer_may_close_subscription(in_batches: bool) -> None:
    closed_within = 0

    def close() -> None:
        nonlocal closed_within
        consumer.close()
        # Released now, unless something is being decoded.
        closed_within += consumer.buffered > 0

    for threshold in range(1, 150):
        consumer = new_consumer()
        gc.set_threshold(0)
        gc.collect()
        Finalized(close)
        gc.set_threshold(threshold)
        taken = step(consumer, in_batches)
        gc.set_threshold(0)
        is_closed = consumer.ring.is_closed
        consumer.ring.close()
        rest = []
        while more := step(consumer, in_batches):
            rest += more
        gc.collect()
        stats = consumer.stats()
        assert stats.arrived == 2 * EVENTS
        assert stats.arrived == stats.delivered + stats.buffered + stats.filtered + stats.missed
        assert len(rest) == (0 if is_closed else 2 * EVENTS - len(taken))
        assert consumer.buffered == 0
        assert all(event == InvalidateAccessTokens([1]) for event in taken + rest)
    assert closed_within


@runs_in_allocations
@pytest.mark.usefixtures("collector")
def test_nested_iteration_is_refused() -> None:
    errors: list[BaseException] = []

    def iterate() -> None:
        try:
            step(consumer, False)
        except SubscriptionError as error:
            errors.append(error)

    for threshold in range(1, 50):
        consumer = new_consumer()
        gc.set_threshold(0)
        gc.collect()
        Finalized(iterate)
        gc.set_threshold(threshold)
        step(consumer, False)
        gc.set_threshold(0)
        gc.collect()
        consumer.close()
    assert errors
    assert "finalizer" in str(errors[0])


@runs_in_allocations
@pytest.mark.usefixtures("collector")
def test_batch_names_its_sender() -> None:
    """A finalizer may take a message while its batch is created."""
    other = InvalidateAccessTokens([2])
    senders = set()

    def take_message() -> None:
        with contextlib.suppress(SubscriptionError):
            for _ in range(EVENTS):
                consumer.take_event()

    for threshold in range(1, 6):
        consumer = new_consumer(messages=1)
        consumer.ring.put_message(b"\x08" + b"\x03\x01\x02" * EVENTS, 1, EVENTS, 8, 0.0)
        gc.set_threshold(0)
        gc.collect()
        consumer.take_event()
        Finalized(take_message)
        gc.set_threshold(threshold)
        batch = consumer.take_batch()
        gc.set_threshold(0)
        gc.collect()
        assert isinstance(batch, Batch)
        assert batch.node_id == (8 if batch[0] == other else 7)
        senders.add(batch.node_id)
        consumer.close()
    assert 8 in senders


def test_notice_after_close_is_dropped() -> None:
    """The conversion of an overflow into notices is Python code, too."""
    consumer = new_consumer(capacity_messages=1)
    created: list[Missed] = []

    def as_notices(dropped: dict[int | None, int | None]) -> list[Missed]:
        consumer.close()
        created.extend(Missed(node, events, "overflow") for node, events in dropped.items())
        return created

    Cursor.__init__(
        consumer,
        consumer.ring,
        protocol=PROTOCOL,
        kinds=None,
        as_notices=as_notices,  # type: ignore[arg-type]
        get_loop=None,  # type: ignore[arg-type]
    )
    assert step(consumer, False) == []
    assert created == [Missed(7, EVENTS, "overflow")]
