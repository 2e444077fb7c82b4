"""How many messages are requested from a stream, given the free space of the rings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fastcoord.streaming.demand import Demand, Request

RING = 1000
SOURCE: Any = SimpleNamespace(max_demand=100, max_demand_bytes=RING // 4, ring_bytes=RING)


class Rings:
    """Rings with some free space, and the demand of their feed."""

    def __init__(self) -> None:
        self.number = self.demand = self.demand_bytes = 0
        self.space = (1 << 30, RING)
        self.requests = Demand(SOURCE)

    def free(self) -> tuple[int, int]:
        return self.space

    def next(self, space: tuple[int, int] | None = None, is_read: bool = True) -> Request | None:
        self.space = space or self.space
        feed: Any = self
        return self.requests.next(feed, is_read=is_read)

    def refuse(self) -> None:
        self.demand = 0
        self.requests.refused(self.number)


def refused_twice() -> Rings:
    rings = Rings()
    for _ in range(2):
        assert rings.next() == Request(100, 250)
        rings.refuse()
    return rings


def test_request_fits_into_free_space() -> None:
    rings = Rings()
    assert rings.next((20, 1000)) == Request(20, 250)
    assert rings.next((20, 300)) == Request(20, 150)
    assert rings.next((0, 0)) is None


def test_more_is_requested_at_half() -> None:
    rings = Rings()
    rings.demand = 51
    assert rings.next() is None
    rings.demand = 50
    assert rings.next() == Request(50, 250)


def test_open_requests_keep_their_bytes() -> None:
    rings = Rings()
    rings.demand, rings.demand_bytes = 10, 600
    assert rings.next((1000, 800)) == Request(90, 200)
    assert rings.next((1000, 790)) is None


def test_message_beyond_limit_is_requested_alone() -> None:
    rings = refused_twice()
    assert rings.next() == Request(1, 0)


def test_message_beyond_limit_waits_for_space() -> None:
    rings = refused_twice()
    assert rings.next((5, 499)) is None
    assert rings.next((5, 500)) == Request(1, 500)
    rings.refuse()
    assert rings.next((5, 999)) is None
    assert rings.next((5, RING)) == Request(1, 0)


def test_message_beyond_limit_waits_for_open_requests() -> None:
    rings = refused_twice()
    rings.demand = 1
    assert rings.next() is None


def test_delivery_ends_single_requests() -> None:
    rings = refused_twice()
    rings.number += 1
    assert rings.next() == Request(100, 250)


def test_partly_fulfilled_request_is_repeated() -> None:
    rings = Rings()
    for _ in range(3):
        assert rings.next() == Request(100, 250)
        rings.number += 1
        rings.refuse()


def test_tiny_ring_is_no_missing_limit() -> None:
    tiny: Any = SimpleNamespace(max_demand=100, max_demand_bytes=0, ring_bytes=1)
    rings = Rings()
    rings.requests = Demand(tiny)
    assert rings.next((1, 1)) == Request(1, 1)
