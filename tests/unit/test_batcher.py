"""The batcher in small cases: what it accepts and refuses, and requests to its owner."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from itertools import count
from typing import Any

import pytest

import fastcoord
from fastcoord import (
    CalendarAlert,
    Event,
    InvalidateAccessTokens,
    RegistryReload,
    ReloadBlockedIps,
    ReloadPushServers,
    StateChange,
)
from fastcoord.errors import EventTooLarge, UnsupportedEvent
from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.publisher import Publisher
from support.publishing.batcher_owner import ONE, PROTOCOL, BatcherOwner, offsets


def test_sealed_batch_matches_encode_batch() -> None:
    owner = BatcherOwner(node_id=65535)
    events = (StateChange(1, 2, 3), ONE, InvalidateAccessTokens((1, 2)))
    owner.now = 5.0
    owner.publish(*events)
    owner.now = 6.0
    owner.batcher.begin_flush()
    assert owner.batcher.seal()
    (batch,) = owner.batcher.queue
    assert batch.payload == fastcoord.encode_batch(events, node_id=65535, protocol=PROTOCOL)
    assert (batch.offset, batch.count, batch.accepted_at) == (0, 3, 5.0)


def test_empty_batch_is_not_sealed() -> None:
    owner = BatcherOwner()
    assert not owner.batcher.seal()
    assert owner.publish() == 0
    assert not owner.batcher.seal()
    assert owner.flushes == 0


@pytest.mark.parametrize(("limit", "capacity"), [(10, 1), (100, 0), (-1, 1)])
def test_too_small_batcher_is_refused(limit: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BatcherOwner(limit=limit, capacity=capacity)


@pytest.mark.parametrize("node_id", [-1, 65536])
def test_invalid_node_id_is_refused(node_id: int) -> None:
    with pytest.raises(OverflowError):
        BatcherOwner(node_id=node_id)


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (RegistryReload(1), UnsupportedEvent),
        ("no event", TypeError),
        (None, TypeError),
        (StateChange, TypeError),
        (CalendarAlert(1, 2, None, "x" * 100, ""), EventTooLarge),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_refused_event_refuses_all(refused: Any, error: type[Exception], place: int) -> None:
    owner = BatcherOwner()
    events: list[Any] = [ONE, StateChange(1, 2, 3)]
    events.insert(place, refused)
    with pytest.raises(error):
        owner.publish(*events)
    assert owner.batcher.accepted == owner.batcher.open_count == owner.flushes == 0
    owner.publish(ONE)
    assert owner.batcher.seal()
    assert owner.batcher.queue[0].payload == fastcoord.encode_batch(
        [ONE], node_id=7, protocol=PROTOCOL
    )


def test_flush_is_scheduled_once() -> None:
    owner = BatcherOwner()
    for _ in range(3):
        owner.publish(ONE, ONE)
    assert owner.flushes == 1
    owner.batcher.begin_flush()
    assert owner.flushes == 1
    owner.publish(ONE)
    assert owner.flushes == 2


def test_unsealed_batch_schedules_again() -> None:
    owner = BatcherOwner(limit=11, capacity=1)
    owner.publish(*[ONE] * 20)
    owner.batcher.begin_flush()
    assert not owner.batcher.seal()
    owner.batcher.split_larger(0, PROTOCOL)
    owner.publish(ONE)
    assert owner.flushes == 2


def test_full_write_is_requested() -> None:
    owner = BatcherOwner(limit=16 * 1024, capacity=100)
    owner.publish(*[ONE] * (64 * 1024 + 10))
    assert owner.writes == 1


def test_full_batcher_accepts_what_fits() -> None:
    owner = BatcherOwner(limit=11, capacity=2)
    assert owner.publish(*[ONE] * 100) == 30
    assert owner.batcher.is_full
    assert owner.publish(ONE) == 0
    assert owner.batcher.accepted == 30
    owner.batcher.split_larger(0, PROTOCOL)
    assert owner.publish(ONE) == 1


def test_add_always_discards_oldest() -> None:
    owner = BatcherOwner(limit=11, capacity=2)
    owner.batcher.add_always([ONE] * 100)
    assert (owner.batcher.accepted, owner.batcher.discarded) == (100, 70)
    assert offsets(owner.batcher.queue) == [70, 80]


def test_few_full_batches_share_time() -> None:
    times = count(62)
    batcher = Batcher(
        node_id=7,
        protocol=PROTOCOL,
        limit=11,
        capacity=100,
        clock=lambda: float(next(times)),
        on_open=lambda: None,
        on_seal=lambda: None,
    )
    batcher.add_from((ONE,) * 900)
    batcher.seal()
    ages = [batch.accepted_at for batch in batcher.queue]
    assert ages == sorted(ages)
    assert max(Counter(ages).values()) <= 17


def test_lowered_limit_counts_refused_batches() -> None:
    owner = BatcherOwner()
    prepared = owner.batcher.prepare((ONE, CalendarAlert(1, 2, None, "x" * 50, "")))
    owner.batcher.set_limit(20)
    with pytest.raises(EventTooLarge, match="the server of this connection allows 19"):
        owner.batcher.add_from(prepared)
    assert owner.batcher.accepted == owner.batcher.open_count == 1


def test_long_list_is_split() -> None:
    owner = BatcherOwner(limit=50)
    prepared = owner.batcher.prepare((InvalidateAccessTokens(tuple(range(1000))),))
    assert len(prepared) > 10
    assert sum((event.account_ids for event in prepared), ()) == tuple(range(1000))  # type: ignore[attr-defined]


def test_batcher_releases_references() -> None:
    owner = BatcherOwner(capacity=1000)
    event = ReloadBlockedIps()
    gc.collect()  # nodes of earlier tests may refer to the event
    before = sys.getrefcount(event)
    owner.publish(*[event] * 500)
    owner.batcher.seal()
    batches = owner.batcher.take(1 << 20)
    payload = batches[0].payload
    owner.batcher.confirm(500, 1.0)
    del batches, owner
    gc.collect()
    assert sys.getrefcount(event) == before
    held_once = bytearray(payload)
    # The number itself depends on the Python version.
    assert sys.getrefcount(payload) == sys.getrefcount(held_once)


def test_failed_request_is_repeated() -> None:
    """A signal handler may raise at any call of the main thread, even within ``on_open``."""
    requests: list[bool] = []

    def interrupted() -> None:
        requests.append(True)
        if len(requests) == 1:
            raise KeyboardInterrupt

    batcher = Batcher(
        node_id=7,
        protocol=PROTOCOL,
        limit=100,
        capacity=10,
        clock=lambda: 0.0,
        on_open=interrupted,
        on_seal=lambda: None,
    )
    with pytest.raises(KeyboardInterrupt):
        batcher.add_from((ONE,))
    batcher.add_from((ONE,))
    assert len(requests) == 2
    assert batcher.accepted == 2


def test_refused_event_leaks_nothing() -> None:
    owner = BatcherOwner()
    large = CalendarAlert(1, 2, None, "x" * 10_000_000, "")
    tracemalloc.start()
    try:
        with pytest.raises(EventTooLarge):
            publish_one(owner, large)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def publish_one(owner: BatcherOwner, event: Event) -> None:
    """Publish one event as a node does."""

    class Refused:
        def check_caller(self) -> None:
            pass

        def publish_rest(self, prepared: tuple[Event, ...], done: int) -> None:
            raise AssertionError("the event was queued to wait for capacity")

    publisher = Publisher(NodeState(), owner.batcher, Refused())
    publisher.publish(event)


def test_uninitialized_publisher_is_refused() -> None:
    publisher = Publisher.__new__(Publisher)
    for call in (publisher.publish, publisher.publish_nowait):
        with pytest.raises(RuntimeError, match="not initialized"):
            call(ONE)
    with pytest.raises(RuntimeError, match="not initialized"):
        publisher.publish_many([ONE])


class InterruptedOwner(BatcherOwner):
    """An owner in whose clock a finalizer publishes an event, as far as one is left."""

    published: list[Event]
    unpublished: list[Event]

    @property
    def now(self) -> float:
        if self.unpublished:
            event = self.unpublished.pop()
            self.published.append(event)
            self.publish(event)
        return 0.0

    @now.setter
    def now(self, value: float) -> None:
        self.published, self.unpublished = [], []


@pytest.mark.parametrize("limit", [12, 13, 14, 15])
def test_event_published_within_clock_is_kept(limit: int) -> None:
    owner = InterruptedOwner(limit=limit, capacity=1000)
    events: list[Event] = [ReloadPushServers(number) for number in range(100, 130)]
    for event in events:
        owner.unpublished = [ReloadPushServers(200 + len(owner.published))]
        owner.publish(event)
    owner.batcher.seal()
    found: list[Event] = []
    for batch in owner.batcher.take(1 << 20):
        found += fastcoord.decode_batch(batch.payload, protocol=PROTOCOL)
        assert batch.offset + batch.count == len(found)
    assert [event for event in found if event in events] == events
    assert [event for event in found if event not in events] == owner.published
