"""The ring in small cases: what is dropped, where that is told, when the consumer is woken."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

from fastcoord import Missed, PeerDown, PeerUp
from fastcoord.receiving.consumer import fold
from fastcoord.receiving.ring import Ring


def put(ring: Ring, *numbers: int, node_id: int = 1, count: int = 1, size: int = 1) -> None:
    """Put messages that can be told by their time."""
    for number in numbers:
        ring.put_message(b"x" * size, 0, count, node_id, float(number))


def take_all(ring: Ring) -> list[Any]:
    """Take everything: a message as its time."""
    out: list[Any] = []
    while (item := ring.take_next()) is not None:
        out.append(item[4] if isinstance(item, tuple) else item)
    return out


def test_what_is_put_is_taken_in_order_and_whole() -> None:
    ring = Ring(4, 100)
    ring.put_message(b"payload", 2, 3, 65535, 1.5)
    ring.put_notice("notice")
    assert ring.take_next() == (b"payload", 2, 3, 65535, 1.5)
    assert ring.take_next() == "notice"
    assert ring.take_next() is None


@pytest.mark.parametrize(("messages", "size"), [(0, 1), (1, 0), (-1, 5)])
def test_a_ring_without_room_is_refused(messages: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least 1 message and 1 byte"):
        Ring(messages, size)


def test_drop_oldest_tells_the_loss_before_what_is_left() -> None:
    ring = Ring(2, 100)
    put(ring, 1, 2, 3, 4, count=5)
    assert take_all(ring) == [{1: 10}, 3.0, 4.0]
    assert (ring.arrived, ring.missed) == (20, 10)


def test_drop_newest_tells_the_loss_behind_what_is_left() -> None:
    ring = Ring(2, 100, drop_newest=True)
    put(ring, 1, 2, 3, 4, count=5)
    assert take_all(ring) == [1.0, 2.0, {1: 10}]


def test_drop_newest_tells_the_loss_before_what_comes_after_it() -> None:
    ring = Ring(2, 100, drop_newest=True)
    put(ring, 1, 2, 3)
    assert ring.take_next()[4] == 1.0
    put(ring, 4, 5)
    assert take_all(ring) == [2.0, {1: 1}, 4.0, {1: 1}]


def test_a_loss_is_told_once_per_episode() -> None:
    ring = Ring(1, 100)
    put(ring, 1, 2, 3)
    assert ring.take_next() == {1: 2}
    put(ring, 4)
    assert take_all(ring) == [{1: 1}, 4.0]


def test_losses_are_counted_by_node() -> None:
    ring = Ring(1, 100)
    put(ring, 1, node_id=1, count=2)
    put(ring, 2, node_id=2, count=3)
    put(ring, 3, node_id=1, count=4)
    put(ring, 4, node_id=3)
    assert take_all(ring) == [{1: 6, 2: 3}, 4.0]


@pytest.mark.parametrize("drop_newest", [False, True])
def test_bytes_are_a_bound_of_their_own(drop_newest: bool) -> None:
    ring = Ring(100, 10, drop_newest=drop_newest)
    put(ring, 1, 2, size=5)
    put(ring, 3, size=1)
    assert ring.buffered_bytes <= 10
    assert take_all(ring) == ([1.0, 2.0, {1: 1}] if drop_newest else [{1: 1}, 2.0, 3.0])


def test_a_large_message_makes_room_by_dropping_as_many_as_it_takes() -> None:
    ring = Ring(100, 10)
    put(ring, 1, 2, 3, 4, 5, size=2)
    put(ring, 6, size=7)
    assert take_all(ring) == [{1: 4}, 5.0, 6.0]


@pytest.mark.parametrize("drop_newest", [False, True])
def test_a_message_larger_than_the_ring_is_told_behind_what_came_before_it(
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
def test_a_consumer_that_waits_hears_of_a_message_larger_than_the_ring(drop_newest: bool) -> None:
    ring = Ring(1, 1, drop_newest=drop_newest)
    wakes: list[int] = []
    ring.wait(lambda: wakes.append(1))
    put(ring, 1, size=2)
    assert wakes == [1]
    assert take_all(ring) == [{1: 1}]


def test_a_notice_keeps_its_place() -> None:
    ring = Ring(4, 100)
    put(ring, 1)
    ring.put_notice("notice")
    put(ring, 2)
    assert take_all(ring) == [1.0, "notice", 2.0]


def test_a_notice_is_told_when_the_messages_around_it_are_dropped() -> None:
    ring = Ring(2, 100)
    put(ring, 1)
    ring.put_notice("notice")
    put(ring, 2, 3, 4)
    assert take_all(ring) == ["notice", {1: 2}, 3.0, 4.0]


def test_a_loss_of_drop_newest_is_told_before_the_notice_behind_it() -> None:
    ring = Ring(1, 100, drop_newest=True)
    put(ring, 1, 2)
    ring.put_notice("notice")
    assert take_all(ring) == [1.0, {1: 1}, "notice"]


@pytest.mark.parametrize("drop_newest", [False, True])
def test_notices_and_losses_that_nobody_takes_need_no_more_room_each(drop_newest: bool) -> None:
    ring = Ring(3, 100, drop_newest=drop_newest, fold=fold)
    put(ring, 1, 2, 3)
    for number in range(1000):
        put(ring, number)
        ring.put_notice(Missed(2, 1, "gap"))
    assert len(ring) < 30
    told = take_all(ring)
    notices = [item for item in told if isinstance(item, Missed)]
    assert sum(notice.events or 0 for notice in notices if notice.cause == "gap") == 1000
    dropped = sum(sum(item.values()) for item in told if isinstance(item, dict))
    dropped += sum(notice.events or 0 for notice in notices if notice.cause == "overflow")
    assert dropped == 1000 == ring.missed


def test_no_notice_is_lost_when_some_of_those_folded_were_taken() -> None:
    ring = Ring(1, 100)
    for number in range(24):
        ring.put_notice(number)
    told = [ring.take_next(), ring.take_next()]
    for number in range(24, 30):
        ring.put_notice(number)
    assert told + take_all(ring) == list(range(30))


def test_notices_that_a_consumer_did_not_ask_for_are_not_put() -> None:
    ring = Ring(4, 100, unwanted=(PeerUp, PeerDown))
    ring.put_notice(PeerUp(1))
    ring.put_notice(PeerDown(1, True))
    ring.put_notice(Missed(1, 1, "gap"))
    assert take_all(ring) == [Missed(1, 1, "gap")]


def test_the_waker_is_called_once_and_only_when_the_ring_was_empty() -> None:
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


def test_who_waits_at_a_ring_that_is_not_empty_is_woken_at_once() -> None:
    ring = Ring(10, 100)
    wakes: list[int] = []
    ring.put_notice("notice")
    ring.wait(lambda: wakes.append(1))
    assert wakes == [1]


def test_a_closed_ring_takes_nothing_in_and_gives_what_it_holds() -> None:
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


def test_a_cleared_ring_is_empty() -> None:
    ring = Ring(1, 100)
    put(ring, 1, 2)
    ring.put_notice("notice")
    ring.put_notice("another")
    ring.clear()
    assert len(ring) == ring.buffered == ring.buffered_bytes == ring.buffered_messages == 0
    assert take_all(ring) == []


def test_a_ring_grows_as_it_is_filled_and_keeps_its_order_over_the_edge() -> None:
    ring = Ring(1000, 1 << 20)
    put(ring, *range(12))
    assert [ring.take_next()[4] for _ in range(10)] == [float(number) for number in range(10)]
    put(ring, *range(12, 700))
    assert take_all(ring) == [float(number) for number in range(10, 700)]
    assert ring.high_water_messages == 690


def test_what_is_dropped_taken_or_left_behind_is_let_go() -> None:
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
def test_numbers_that_do_not_fit_a_slot_are_refused_and_nothing_is_put(
    field: int, value: int
) -> None:
    ring = Ring(5, 100)
    arguments: list[Any] = [b"x", 0, 1, 1, 0.0]
    arguments[field] = value
    with pytest.raises(OverflowError):
        ring.put_message(*arguments)
    assert len(ring) == ring.arrived == 0
