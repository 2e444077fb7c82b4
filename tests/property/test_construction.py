"""Making events: arguments whose checks run Python code, references, memory, and reading fields."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from fastcoord import StateChange
from fastcoord.wire.table import KINDS
from support.inputs.samples import VALUES, every_kind

SAMPLES = every_kind(tuple(kind.name for kind in KINDS))
EDGES = sorted(
    {
        edge
        for bits in (0, 1, 8, 15, 16, 29, 30, 31, 32, 59, 60, 61, 63, 64)
        for edge in ((1 << bits) - 1, 1 << bits, (1 << bits) + 1)
        if edge < 1 << 64
    }
    | {255, 256, 257}
)


class Reentering:
    """An integer whose ``__index__`` makes, reads and frees other events."""

    def __init__(self, number: int, kind: Any, arguments: tuple[Any, ...]) -> None:
        self.number = number
        self.kind = kind
        self.arguments = arguments
        self.made: list[fastcoord.Event] = []

    def __index__(self) -> int:
        for _ in range(20):
            self.made.append(self.kind(*self.arguments))
        del self.made[::2]
        gc.collect()
        return self.number


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_index_may_make_events(event: Any) -> None:
    names = event.__match_args__
    values = [getattr(event, name) for name in names]
    for position, value in enumerate(values):
        if type(value) is not int:
            continue
        number = Reentering(value, type(event), tuple(values))
        arguments = [*values[:position], number, *values[position + 1 :]]
        assert type(event)(*arguments) == event
        assert type(event)(**dict(zip(names, arguments, strict=True))) == event
        assert set(number.made) == {event}


def test_iterable_may_make_events() -> None:
    inner: list[fastcoord.Event] = []

    def accounts() -> Iterator[int]:
        for number in range(5):
            inner.append(fastcoord.InvalidateAccessTokens([number]))
            yield number

    event = fastcoord.InvalidateAccessTokens(accounts())
    assert event.account_ids == (0, 1, 2, 3, 4)
    assert inner == [fastcoord.InvalidateAccessTokens([number]) for number in range(5)]


def test_unfinished_event_is_invisible() -> None:
    seen: list[Any] = []

    class Looking:
        def __index__(self) -> int:
            seen.extend(each for each in gc.get_objects() if isinstance(each, fastcoord.Event))
            return 7

    event = fastcoord.CalendarAlert(1, Looking(), None, "uid", "alert")  # type: ignore[arg-type]
    assert event == fastcoord.CalendarAlert(1, 7, None, "uid", "alert")
    assert seen == []


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_construction_keeps_reference_counts(event: Any) -> None:
    kind, names = type(event), event.__match_args__
    # Objects of this test alone: nothing else may hold or drop them meanwhile.
    values = [copy.deepcopy(getattr(event, name)) for name in names]
    keywords = dict(zip(names, values, strict=True))
    counted = [kind, *values]

    def make() -> None:
        made = [kind(*values), kind(**keywords), kind.__new__(kind, *values)]
        for each in made:
            assert [getattr(each, name) for name in names] == values
            assert pickle.loads(pickle.dumps(each)) == each
        with pytest.raises(TypeError):
            kind(*values, *values, 1)
        with pytest.raises(TypeError):
            kind(**keywords, other=1)
        with pytest.raises(AttributeError):
            _ = made[0].other

    for _ in range(10):
        make()
    before = [sys.getrefcount(each) for each in counted]
    for _ in range(300):
        make()
    after = [sys.getrefcount(each) for each in counted]
    assert all(abs(now - then) < 50 for now, then in zip(after, before, strict=True))


def growth(work: Callable[[], object]) -> int:
    """Return the bytes that many rounds leave behind."""
    tracemalloc.start()
    try:
        for _ in range(600):
            work()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(300):
            work()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_failed_construction_leaks_nothing(kind: Any) -> None:
    cls = getattr(fastcoord, kind.name)
    good = [copy.deepcopy(VALUES[field.type][1]) for field in kind.fields]

    def fail() -> None:
        for position in range(len(good)):
            with pytest.raises((TypeError, ValueError)):
                cls(*good[:position], object(), *good[position + 1 :])
        with pytest.raises(TypeError):
            cls(*good, *good, object())
        with pytest.raises(TypeError):
            cls(unheard_of=object())

    assert growth(fail) < 8_000


@given(values=st.tuples(*[st.one_of(st.sampled_from(EDGES), st.integers(0, (1 << 64) - 1))] * 2))
def test_integers_are_read_as_given(values: tuple[int, int]) -> None:
    event = StateChange(1, *values)
    payload = fastcoord.encode_batch([event], node_id=1, protocol="fastcoord-1")
    (decoded,) = fastcoord.decode_batch(payload, protocol="fastcoord-1")
    assert isinstance(decoded, StateChange)
    for each in (event, decoded):
        read = (each.change_id, each.types)
        assert read == values
        assert [repr(number) for number in read] == [repr(number) for number in values]
        assert [hash(number) for number in read] == [hash(number) for number in values]
        assert [number.bit_length() for number in read] == [n.bit_length() for n in values]
        assert [(number << 70) - 1 for number in read] == [(n << 70) - 1 for n in values]


@pytest.mark.parametrize("edge", EDGES)
def test_every_edge_is_read(edge: int) -> None:
    assert StateChange(1, edge, edge).types == edge
    assert type(StateChange(1, edge, edge).types) is int
    if edge < 1 << 32:
        assert fastcoord.InvalidateAccessTokens([edge]).account_ids == (edge,)
        assert StateChange(edge, 0, 0).account_id == edge


def test_fields_are_descriptors_too() -> None:
    event = StateChange(7, 42, 27)
    assert StateChange.account_id.__get__(event) == 7
    assert object.__getattribute__(event, "change_id") == 42
    assert hasattr(event, "types")
    assert not hasattr(event, "type")
