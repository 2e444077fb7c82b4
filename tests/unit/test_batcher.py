"""The batcher in small cases: refusals, requests to its owner, confirming and discarding."""

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
    ReloadSettings,
    StateChange,
)
from fastcoord.errors import EventTooLarge, UnsupportedEvent
from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.publisher import Publisher

PROTOCOL = "stalwart-0.15"
ONE = ReloadSettings()


class Owner:
    """Counts the requests of a batcher to its owner."""

    def __init__(self, *, limit: int = 100, capacity: int = 10, node_id: int = 7) -> None:
        self.now = 0.0
        self.flushes = 0
        self.writes = 0
        self.batcher = Batcher(
            node_id=node_id,
            protocol=PROTOCOL,
            limit=limit,
            capacity=capacity,
            clock=lambda: self.now,
            on_open=self._schedule_flush,
            on_seal=self._request_write,
        )

    def _schedule_flush(self) -> None:
        self.flushes += 1

    def _request_write(self) -> None:
        self.writes += 1

    def publish(self, *events: Event) -> int:
        return self.batcher.add_from(self.batcher.prepare(events))

    def sealed(self, batches: int, events: int = 1) -> Batcher:
        """Publish and seal this many batches."""
        for second in range(batches):
            self.now = float(second)
            self.batcher.begin_flush()
            self.publish(*[ONE] * events)
            assert self.batcher.seal()
        return self.batcher


def offsets(batches: Any) -> list[int]:
    return [batch.offset for batch in batches]


def test_sealed_batch_matches_encode_batch() -> None:
    owner = Owner(node_id=65535)
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
    owner = Owner()
    assert not owner.batcher.seal()
    assert owner.publish() == 0
    assert not owner.batcher.seal()
    assert owner.flushes == 0


@pytest.mark.parametrize(("limit", "capacity"), [(10, 1), (100, 0), (-1, 1)])
def test_too_small_batcher_is_refused(limit: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Owner(limit=limit, capacity=capacity)


@pytest.mark.parametrize("node_id", [-1, 65536])
def test_invalid_node_id_is_refused(node_id: int) -> None:
    with pytest.raises(OverflowError):
        Owner(node_id=node_id)


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
    owner = Owner()
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
    owner = Owner()
    for _ in range(3):
        owner.publish(ONE, ONE)
    assert owner.flushes == 1
    owner.batcher.begin_flush()
    assert owner.flushes == 1
    owner.publish(ONE)
    assert owner.flushes == 2


def test_unsealed_batch_schedules_again() -> None:
    owner = Owner(limit=11, capacity=1)
    owner.publish(*[ONE] * 20)
    owner.batcher.begin_flush()
    assert not owner.batcher.seal()
    owner.batcher.split_larger(0, PROTOCOL)
    owner.publish(ONE)
    assert owner.flushes == 2


def test_full_write_is_requested() -> None:
    owner = Owner(limit=16 * 1024, capacity=100)
    owner.publish(*[ONE] * (64 * 1024 + 10))
    assert owner.writes == 1


def test_full_batcher_accepts_what_fits() -> None:
    owner = Owner(limit=11, capacity=2)
    assert owner.publish(*[ONE] * 100) == 30
    assert owner.batcher.is_full
    assert owner.publish(ONE) == 0
    assert owner.batcher.accepted == 30
    owner.batcher.split_larger(0, PROTOCOL)
    assert owner.publish(ONE) == 1


def test_add_always_discards_oldest() -> None:
    owner = Owner(limit=11, capacity=2)
    owner.batcher.add_always([ONE] * 100)
    assert (owner.batcher.accepted, owner.batcher.discarded) == (100, 70)
    assert offsets(owner.batcher.queue) == [70, 80]


def test_taken_batch_is_never_discarded() -> None:
    batcher = Owner().sealed(3, events=2)
    batcher.take(1)
    assert batcher.discard_before(2.0) == 2
    assert offsets(batcher.window) == [0]
    assert offsets(batcher.queue) == [4]
    assert [batcher.discard_before(100.0) for _ in range(2)] == [2, 0]
    batcher.rewind()
    assert batcher.discard_before(100.0) == 0
    assert offsets(batcher.take(100)) == [0]


def test_open_batch_makes_capacity() -> None:
    owner = Owner(limit=11, capacity=2)
    owner.sealed(2).take(100)
    owner.batcher.add_always([ONE] * 25)
    assert (owner.batcher.accepted, owner.batcher.discarded) == (27, 20)
    assert offsets(owner.batcher.window) == [0, 1]
    assert (owner.batcher.next_offset, owner.batcher.next_discarded) == (22, 20)


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


def test_resent_batch_keeps_its_discarded_count() -> None:
    owner = Owner()
    batcher = owner.sealed(4)
    batcher.take(1)
    assert batcher.discard_before(2.0) == 1
    batcher.rewind()
    assert (batcher.next_offset, batcher.next_discarded) == (0, 0)
    assert [batch.discarded for batch in batcher.take(100)] == [0]
    assert (batcher.next_offset, batcher.next_discarded) == (2, 1)
    assert [batch.discarded for batch in batcher.take(100)] == [1, 1]


def test_take_stops_at_byte_limit() -> None:
    batcher = Owner().sealed(5, events=9)
    assert offsets(batcher.take(0)) == []
    assert offsets(batcher.take(11)) == [0, 9]
    assert offsets(batcher.take(10)) == [18]
    assert offsets(batcher.take(1000)) == [27, 36]
    assert offsets(batcher.take(1000)) == []
    assert batcher.queue_bytes == 0


def test_only_whole_batches_are_confirmed() -> None:
    batcher = Owner().sealed(3, events=2)
    batcher.take(1000)
    batcher.confirm(3, 1.0)
    assert (batcher.confirmed, offsets(batcher.window)) == (2, [2, 4])
    batcher.confirm(6, 1.0)
    assert (batcher.confirmed, batcher.waiting, offsets(batcher.window)) == (6, 0, [])


def test_untaken_batch_is_not_confirmed() -> None:
    batcher = Owner().sealed(2)
    batcher.take(1)
    batcher.confirm(100, 1.0)
    assert (batcher.confirmed, batcher.waiting) == (1, 1)


def test_unconfirmed_batches_go_first() -> None:
    batcher = Owner().sealed(4)
    batcher.take(1)
    batcher.take(1)
    batcher.rewind()
    assert offsets(batcher.resend) == [0, 1]
    assert offsets(batcher.window) == []
    assert offsets(batcher.take(100)) == [0, 1]
    assert offsets(batcher.take(100)) == [2, 3]


def test_repeated_batch_counts_once() -> None:
    batcher = Owner().sealed(5)
    batcher.take(1000)
    batcher.confirm(2, 1.0)
    batcher.confirm(4, 2.0)
    batcher.rewind()
    batcher.repeat(2.0)
    assert offsets(batcher.resend) == [2, 3, 4]
    assert batcher.unconfirmed_batches == 1
    batcher.take(1000)
    batcher.confirm(5, 3.0)
    assert (batcher.accepted, batcher.confirmed, batcher.discarded) == (5, 5, 0)


def test_discarded_repeat_stays_confirmed() -> None:
    batcher = Owner().sealed(2)
    batcher.take(1000)
    batcher.confirm(2, 1.0)
    batcher.repeat(0.0)
    assert offsets(batcher.resend) == [0, 1]
    assert batcher.split_larger(1, PROTOCOL) == 0
    assert (batcher.confirmed, batcher.discarded, batcher.waiting) == (2, 0, 0)


def test_256_confirmed_batches_are_remembered() -> None:
    batcher = Owner(capacity=1000).sealed(300)
    batcher.take(100_000)
    batcher.confirm(300, 1.0)
    assert offsets(batcher.recent) == list(range(44, 300))


def test_old_batches_leave_queue_only() -> None:
    batcher = Owner().sealed(5)
    batcher.take(1)
    assert batcher.discard_before(3.0) == 2
    assert offsets(batcher.window) == [0]
    assert offsets(batcher.queue) == [3, 4]


def test_oversized_open_batch_is_sealed() -> None:
    owner = Owner(limit=100, capacity=1)
    owner.sealed(1)
    owner.publish(*[ONE] * 50)
    owner.batcher.set_limit(30)
    assert owner.batcher.open_count == 0
    assert offsets(owner.batcher.queue) == [0, 1]
    assert owner.batcher.split_larger(30, PROTOCOL) == 0
    assert offsets(owner.batcher.queue) == [0, 1, 30]
    assert owner.batcher.waiting == 51


def text(size: int) -> CalendarAlert:
    """Return an event with a text of this many bytes; it cannot be split."""
    return CalendarAlert(1, 2, None, "x" * size, "")


def test_larger_batch_is_split() -> None:
    owner = Owner(limit=200)
    events = [ONE, text(20), StateChange(1, 2, 3), text(100), ONE, ONE]
    owner.publish(*events)
    owner.batcher.seal()
    assert owner.batcher.split_larger(40, PROTOCOL) == 1
    pieces = [events[:3], events[4:]]
    assert [batch.payload for batch in owner.batcher.queue] == [
        fastcoord.encode_batch(piece, node_id=7, protocol=PROTOCOL) for piece in pieces
    ]
    taken = owner.batcher.take(1000)
    assert [(each.offset, each.count, each.discarded) for each in taken] == [(0, 3, 0), (4, 2, 1)]
    owner.batcher.confirm(6, 1.0)
    assert (owner.batcher.confirmed, owner.batcher.discarded) == (5, 1)
    assert owner.batcher.unconfirmed_batches == 0


def test_sent_batch_is_split() -> None:
    owner = Owner(limit=200)
    events = [*[ONE] * 20, text(100), *[ONE] * 10]
    owner.publish(*events)
    owner.batcher.seal()
    owner.publish(ONE)
    owner.batcher.seal()
    owner.batcher.take(1)
    owner.batcher.rewind()
    assert owner.batcher.split_larger(15, PROTOCOL) == 1
    taken = [*owner.batcher.take(1000), *owner.batcher.take(1000)]
    assert [(each.offset, each.discarded) for each in taken] == [(0, 0), (14, 0), (21, 1), (31, 1)]


def test_confirmed_batch_is_split() -> None:
    batcher = Owner().sealed(1, events=30)
    batcher.take(1000)
    batcher.confirm(30, 1.0)
    batcher.repeat(0.0)
    assert batcher.split_larger(11, PROTOCOL) == 0
    assert offsets(batcher.resend) == [0, 10, 20]
    assert (batcher.unconfirmed_batches, batcher.confirmed) == (0, 30)
    batcher.take(1000)
    batcher.confirm(30, 2.0)
    assert (batcher.unconfirmed_batches, batcher.confirmed) == (0, 30)


def test_pieces_use_capacity_once() -> None:
    owner = Owner(capacity=2)
    batcher = owner.sealed(2, events=40)
    assert batcher.split_larger(11, PROTOCOL) == 0
    assert (len(batcher.queue), batcher.unconfirmed_batches) == (8, 2)
    owner.publish(ONE)
    owner.batcher.add_always([ONE] * 150)
    assert offsets(batcher.queue)[0] == 40
    assert batcher.discarded == 40
    batcher.take(1)
    batcher.confirm(50, 1.0)
    assert batcher.unconfirmed_batches == 1


def test_lowered_limit_counts_refused_batches() -> None:
    owner = Owner()
    prepared = owner.batcher.prepare((ONE, CalendarAlert(1, 2, None, "x" * 50, "")))
    owner.batcher.set_limit(20)
    with pytest.raises(EventTooLarge, match="the server of this connection allows 19"):
        owner.batcher.add_from(prepared)
    assert owner.batcher.accepted == owner.batcher.open_count == 1


def test_long_list_is_split() -> None:
    owner = Owner(limit=50)
    prepared = owner.batcher.prepare((InvalidateAccessTokens(tuple(range(1000))),))
    assert len(prepared) > 10
    assert sum((event.account_ids for event in prepared), ()) == tuple(range(1000))  # type: ignore[attr-defined]


def test_batcher_releases_references() -> None:
    owner = Owner(capacity=1000)
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
    owner = Owner()
    large = CalendarAlert(1, 2, None, "x" * 10_000_000, "")
    tracemalloc.start()
    try:
        with pytest.raises(EventTooLarge):
            publish_one(owner, large)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def publish_one(owner: Owner, event: Event) -> None:
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


def test_renamed_batcher_begins_at_zero() -> None:
    owner = Owner(node_id=20_000)
    batcher = owner.sealed(3, events=2)
    owner.publish(ONE)
    first = batcher.take(1)
    with pytest.raises(ValueError, match="not confirmed"):
        batcher.rename(30_000)
    batcher.confirm(first[-1].offset + first[-1].count, 0.0)
    with pytest.raises(ValueError, match="number of bytes"):
        batcher.rename(7)
    assert batcher.end_of_sent == 2
    batcher.rename(30_000)
    assert (batcher.accepted, batcher.confirmed, batcher.waiting) == (7, 2, 5)
    assert (batcher.end, batcher.offset, batcher.end_of_sent) == (5, 4, 0)
    assert batcher.seal()
    taken = batcher.take(10_000)
    assert offsets(taken) == [0, 2, 4]
    assert {fastcoord.decode_batch(each.payload, protocol=PROTOCOL).node_id for each in taken} == {
        30_000
    }
    batcher.confirm(5, 0.0)
    assert batcher.waiting == 0
