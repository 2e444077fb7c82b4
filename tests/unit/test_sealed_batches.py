"""Sealed batches in small cases: taken, confirmed, resent, discarded and split."""

from __future__ import annotations

import pytest

import fastcoord
from fastcoord import CalendarAlert, StateChange
from support.publishing.batcher_owner import ONE, PROTOCOL, BatcherOwner, offsets


def test_taken_batch_is_never_discarded() -> None:
    batcher = BatcherOwner().sealed(3, events=2)
    batcher.take(1)
    assert batcher.discard_before(2.0) == 2
    assert offsets(batcher.window) == [0]
    assert offsets(batcher.queue) == [4]
    assert [batcher.discard_before(100.0) for _ in range(2)] == [2, 0]
    batcher.rewind()
    assert batcher.discard_before(100.0) == 0
    assert offsets(batcher.take(100)) == [0]


def test_open_batch_makes_capacity() -> None:
    owner = BatcherOwner(limit=11, capacity=2)
    owner.sealed(2).take(100)
    owner.batcher.add_always([ONE] * 25)
    assert (owner.batcher.accepted, owner.batcher.discarded) == (27, 20)
    assert offsets(owner.batcher.window) == [0, 1]
    assert (owner.batcher.next_offset, owner.batcher.next_discarded) == (22, 20)


def test_resent_batch_keeps_its_discarded_count() -> None:
    owner = BatcherOwner()
    batcher = owner.sealed(4)
    batcher.take(1)
    assert batcher.discard_before(2.0) == 1
    batcher.rewind()
    assert (batcher.next_offset, batcher.next_discarded) == (0, 0)
    assert [batch.discarded for batch in batcher.take(100)] == [0]
    assert (batcher.next_offset, batcher.next_discarded) == (2, 1)
    assert [batch.discarded for batch in batcher.take(100)] == [1, 1]


def test_take_stops_at_byte_limit() -> None:
    batcher = BatcherOwner().sealed(5, events=9)
    assert offsets(batcher.take(0)) == []
    assert offsets(batcher.take(11)) == [0, 9]
    assert offsets(batcher.take(10)) == [18]
    assert offsets(batcher.take(1000)) == [27, 36]
    assert offsets(batcher.take(1000)) == []
    assert batcher.queue_bytes == 0


def test_failed_take_counts_what_it_took() -> None:
    testcapi = pytest.importorskip("_testcapi")
    failures = 0
    for spared in range(20):
        batcher = BatcherOwner(capacity=200).sealed(200)
        testcapi.set_nomemory(spared, spared + 1)
        try:
            batcher.take(300)
        except MemoryError:
            failures += 1
        finally:
            testcapi.remove_mem_hooks()
        assert batcher.queue_bytes == sum(len(batch.payload) for batch in batcher.queue)
        assert batcher.taken == batcher.first_unsent
        batcher.rewind()
        assert offsets(batcher.take(1000) + batcher.take(1000)) == list(range(200))
        assert {batch.discarded for batch in batcher.window} == {0}
    assert failures


def test_only_whole_batches_are_confirmed() -> None:
    batcher = BatcherOwner().sealed(3, events=2)
    batcher.take(1000)
    batcher.confirm(3, 1.0)
    assert (batcher.confirmed, offsets(batcher.window)) == (2, [2, 4])
    batcher.confirm(6, 1.0)
    assert (batcher.confirmed, batcher.waiting, offsets(batcher.window)) == (6, 0, [])


def test_untaken_batch_is_not_confirmed() -> None:
    batcher = BatcherOwner().sealed(2)
    batcher.take(1)
    batcher.confirm(100, 1.0)
    assert (batcher.confirmed, batcher.waiting) == (1, 1)


def test_unconfirmed_batches_go_first() -> None:
    batcher = BatcherOwner().sealed(4)
    batcher.take(1)
    batcher.take(1)
    batcher.rewind()
    assert offsets(batcher.resend) == [0, 1]
    assert offsets(batcher.window) == []
    assert offsets(batcher.take(100)) == [0, 1]
    assert offsets(batcher.take(100)) == [2, 3]


def test_repeated_batch_counts_once() -> None:
    batcher = BatcherOwner().sealed(5)
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
    batcher = BatcherOwner().sealed(2)
    batcher.take(1000)
    batcher.confirm(2, 1.0)
    batcher.repeat(0.0)
    assert offsets(batcher.resend) == [0, 1]
    assert batcher.split_larger(1, PROTOCOL) == 0
    assert (batcher.confirmed, batcher.discarded, batcher.waiting) == (2, 0, 0)


def test_256_confirmed_batches_are_remembered() -> None:
    batcher = BatcherOwner(capacity=1000).sealed(300)
    batcher.take(100_000)
    batcher.confirm(300, 1.0)
    assert offsets(batcher.recent) == list(range(44, 300))


def test_old_batches_leave_queue_only() -> None:
    batcher = BatcherOwner().sealed(5)
    batcher.take(1)
    assert batcher.discard_before(3.0) == 2
    assert offsets(batcher.window) == [0]
    assert offsets(batcher.queue) == [3, 4]


def test_oversized_open_batch_is_sealed() -> None:
    owner = BatcherOwner(limit=100, capacity=1)
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
    owner = BatcherOwner(limit=200)
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
    owner = BatcherOwner(limit=200)
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
    batcher = BatcherOwner().sealed(1, events=30)
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
    owner = BatcherOwner(capacity=2)
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


def test_renamed_batcher_begins_at_zero() -> None:
    owner = BatcherOwner(node_id=20_000)
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
