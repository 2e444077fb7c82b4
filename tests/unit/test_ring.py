"""The ring in small cases: dropped messages, the position of notices, waking the consumer."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

from fastcoord import Missed, PeerDown, PeerUp
from fastcoord.receiving.notices import fold
from fastcoord.receiving.ring import Ring


def put(ring: Ring, *numbers: int, node_id: int = 1, count: int = 1, size: int = 1) -> None:
    """Put messages that are identified by their time."""
    for number in numbers:
        ring.put_message(b"x" * size, 0, count, node_id, float(number))


def take_all(ring: Ring) -> list[Any]:
    """Take all items; a message is represented by its time."""
    out: list[Any] = []
    while (item := ring.take_next()) is not None:
        out.append(item[4] if isinstance(item, tuple) else item)
    return out


def test_messages_come_out_in_order() -> None:
    ring = Ring(4, 100)
    ring.put_message(b"payload", 2, 3, 65535, 1.5)
    ring.put_notice("notice")
    assert ring.take_next() == (b"payload", 2, 3, 65535, 1.5)
    assert ring.take_next() == "notice"
    assert ring.take_next() is None


@pytest.mark.parametrize(("messages", "size"), [(0, 1), (1, 0), (-1, 5)])
def test_zero_capacity_is_refused(messages: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least 1 message and 1 byte"):
        Ring(messages, size)


def test_drop_oldest_reports_loss_first() -> None:
    ring = Ring(2, 100)
    put(ring, 1, 2, 3, 4, count=5)
    assert take_all(ring) == [{1: 10}, 3.0, 4.0]
    assert (ring.arrived, ring.missed) == (20, 10)


def test_drop_newest_reports_loss_last() -> None:
    ring = Ring(2, 100, drop_newest=True)
    put(ring, 1, 2, 3, 4, count=5)
    assert take_all(ring) == [1.0, 2.0, {1: 10}]


def test_drop_newest_reports_before_later_messages() -> None:
    ring = Ring(2, 100, drop_newest=True)
    put(ring, 1, 2, 3)
    assert ring.take_next()[4] == 1.0
    put(ring, 4, 5)
    assert take_all(ring) == [2.0, {1: 1}, 4.0, {1: 1}]


def test_loss_is_reported_once_per_episode() -> None:
    ring = Ring(1, 100)
    put(ring, 1, 2, 3)
    assert ring.take_next() == {1: 2}
    put(ring, 4)
    assert take_all(ring) == [{1: 1}, 4.0]


def test_losses_count_by_node() -> None:
    ring = Ring(1, 100)
    put(ring, 1, node_id=1, count=2)
    put(ring, 2, node_id=2, count=3)
    put(ring, 3, node_id=1, count=4)
    put(ring, 4, node_id=3)
    assert take_all(ring) == [{1: 6, 2: 3}, 4.0]


@pytest.mark.parametrize("drop_newest", [False, True])
def test_bytes_have_own_bound(drop_newest: bool) -> None:
    ring = Ring(100, 10, drop_newest=drop_newest)
    put(ring, 1, 2, size=5)
    put(ring, 3, size=1)
    assert ring.buffered_bytes <= 10
    assert take_all(ring) == ([1.0, 2.0, {1: 1}] if drop_newest else [{1: 1}, 2.0, 3.0])


def test_large_message_drops_enough() -> None:
    ring = Ring(100, 10)
    put(ring, 1, 2, 3, 4, 5, size=2)
    put(ring, 6, size=7)
    assert take_all(ring) == [{1: 4}, 5.0, 6.0]


def test_ring_closed_by_fold_counts_each_event() -> None:
    """A signal handler may close the subscription while the ring makes space for a message."""
    sums: list[bool] = []

    def close(carried: Any, notice: object) -> None:
        sums.append(ring.arrived == ring.buffered + ring.missed)
        ring.close()

    ring = Ring(1, 100, fold=close)
    ring.put_notice("notice")
    put(ring, 1, 2, count=5)
    assert sums == [True]
    assert (ring.arrived, ring.missed, ring.buffered) == (5, 0, 5)


@pytest.mark.parametrize("drop_newest", [False, True])
def test_oversized_message_keeps_order(
    drop_newest: bool,
) -> None:
    ring = Ring(100, 10, drop_newest=drop_newest)
    put(ring, 1)
    put(ring, 2, size=11, count=7)
    put(ring, 3)
    assert take_all(ring) == [1.0, {1: 7}, 3.0]
    assert ring.arrived == 9
    assert ring.missed == 7


@pytest.mark.parametrize("drop_newest", [False, True])
def test_oversized_message_wakes_consumer(drop_newest: bool) -> None:
    ring = Ring(1, 1, drop_newest=drop_newest)
    wakes: list[int] = []
    ring.wait(lambda: wakes.append(1))
    put(ring, 1, size=2)
    assert wakes == [1]
    assert take_all(ring) == [{1: 1}]


def test_notice_keeps_its_position() -> None:
    ring = Ring(4, 100)
    put(ring, 1)
    ring.put_notice("notice")
    put(ring, 2)
    assert take_all(ring) == [1.0, "notice", 2.0]


def test_notice_survives_dropped_messages() -> None:
    ring = Ring(2, 100)
    put(ring, 1)
    ring.put_notice("notice")
    put(ring, 2, 3, 4)
    assert take_all(ring) == ["notice", {1: 2}, 3.0, 4.0]


def test_drop_newest_loss_precedes_notice() -> None:
    ring = Ring(1, 100, drop_newest=True)
    put(ring, 1, 2)
    ring.put_notice("notice")
    assert take_all(ring) == [1.0, {1: 1}, "notice"]


@pytest.mark.parametrize("drop_newest", [False, True])
def test_untaken_notices_stay_bounded(drop_newest: bool) -> None:
    ring = Ring(3, 100, drop_newest=drop_newest, fold=fold)
    put(ring, 1, 2, 3)
    for number in range(1000):
        put(ring, number)
        ring.put_notice(Missed(2, 1, "gap"))
    assert len(ring) < 30
    reported = take_all(ring)
    notices = [item for item in reported if isinstance(item, Missed)]
    assert sum(notice.events or 0 for notice in notices if notice.cause == "gap") == 1000
    dropped = sum(sum(item.values()) for item in reported if isinstance(item, dict))
    dropped += sum(notice.events or 0 for notice in notices if notice.cause == "overflow")
    assert dropped == 1000 == ring.missed


def test_folding_loses_no_notice() -> None:
    ring = Ring(1, 100)
    for number in range(24):
        ring.put_notice(number)
    reported = [ring.take_next(), ring.take_next()]
    for number in range(24, 30):
        ring.put_notice(number)
    assert reported + take_all(ring) == list(range(30))


def test_unwanted_notices_are_not_put() -> None:
    ring = Ring(4, 100, unwanted=(PeerUp, PeerDown))
    ring.put_notice(PeerUp(1))
    ring.put_notice(PeerDown(1, True))
    ring.put_notice(Missed(1, 1, "gap"))
    assert take_all(ring) == [Missed(1, 1, "gap")]


def test_waker_runs_once_when_empty() -> None:
    ring = Ring(10, 100)
    wakes: list[int] = []
    put(ring, 1)
    assert wakes == []
    take_all(ring)
    ring.wait(lambda: wakes.append(1))
    assert ring.waker is not None
    put(ring, 2, 3, 4)
    ring.put_notice("notice")
    assert wakes == [1]
    assert ring.waker is None


def test_nonempty_ring_wakes_at_once() -> None:
    ring = Ring(10, 100)
    wakes: list[int] = []
    ring.put_notice("notice")
    ring.wait(lambda: wakes.append(1))
    assert wakes == [1]


def test_closed_ring_only_drains() -> None:
    ring = Ring(10, 100)
    wakes: list[int] = []
    put(ring, 1)
    take_all(ring)
    ring.wait(lambda: wakes.append(1))
    ring.close()
    assert wakes == [1]
    put(ring, 2)
    ring.put_notice("notice")
    assert take_all(ring) == []
    assert ring.arrived == 1
    ring.wait(lambda: wakes.append(2))
    assert wakes == [1, 2]


def test_cleared_ring_is_empty() -> None:
    ring = Ring(1, 100)
    put(ring, 1, 2)
    ring.put_notice("notice")
    ring.put_notice("another")
    ring.clear()
    assert len(ring) == ring.buffered == ring.buffered_bytes == ring.buffered_messages == 0
    assert take_all(ring) == []


def test_growing_ring_keeps_order() -> None:
    ring = Ring(1000, 1 << 20)
    put(ring, *range(12))
    assert [ring.take_next()[4] for _ in range(10)] == [float(number) for number in range(10)]
    put(ring, *range(12, 700))
    assert take_all(ring) == [float(number) for number in range(10, 700)]
    assert ring.high_water_messages == 690


def test_ring_releases_references() -> None:
    class Notice:
        pass

    payload = bytes(1000)
    before = sys.getrefcount(payload)
    ring = Ring(5, 1 << 20)
    left = []
    for number in range(100):
        notice = Notice()
        left.append(weakref.ref(notice))
        ring.put_message(payload, 0, 1, 1, 0.0)
        ring.put_notice(notice)
        if number % 3 == 0:
            ring.take_next()
    del notice
    del ring
    gc.collect()
    assert sys.getrefcount(payload) == before
    assert [reference for reference in left if reference() is not None] == []


@pytest.mark.parametrize(("field", "value"), [(1, -1), (2, 1 << 32), (3, 1 << 16)])
def test_oversized_numbers_are_refused(field: int, value: int) -> None:
    ring = Ring(5, 100)
    arguments: list[Any] = [b"x", 0, 1, 1, 0.0]
    arguments[field] = value
    with pytest.raises(OverflowError):
        ring.put_message(*arguments)
    assert len(ring) == ring.arrived == 0
