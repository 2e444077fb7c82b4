"""Delivery of the instances of a program's event classes: filters, payloads that do not fit."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

import msgspec
import pytest

import fastcoord
from fastcoord import AppEvent, Event, Missed, ReloadSettings, StateChange
from support.receiving import typed_harness
from support.receiving.typed_harness import (
    EVENTS,
    FAILURES,
    Fragile,
    OrderShipped,
    PriceChanged,
    Tree,
    TypedHarness,
)

EVENTS_AHEAD = 32
"""How many events a cursor decodes at once."""

each_take = pytest.mark.parametrize("take", [TypedHarness.take, TypedHarness.take_batches])


@each_take
@pytest.mark.parametrize("kinds", [None, [Event]])
def test_instances_are_delivered(take: Any, kinds: Any) -> None:
    harness = TypedHarness(kinds)
    harness.put(*EVENTS)
    harness.put(*EVENTS)
    assert take(harness) == EVENTS * 2
    assert harness.consumer.stats().mismatched == 0
    harness.assert_sum()


async def test_iteration_delivers_instances() -> None:
    harness = TypedHarness([OrderShipped])
    harness.put(*EVENTS)
    harness.ring.close()
    found = []
    async for event in harness.consumer:
        match event:
            case OrderShipped(order=number, carrier=carrier):
                found.append((number, carrier))
    assert found == [(1, "post"), (2, "ship")]


@each_take
@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (OrderShipped, [EVENTS[0], EVENTS[6]]),
        ([OrderShipped, Tree], [EVENTS[0], EVENTS[4], EVENTS[6]]),
        ([PriceChanged, StateChange], [EVENTS[1], EVENTS[2]]),
        ([StateChange], [EVENTS[1]]),
        ([Missed], []),
    ],
)
def test_filter_selects_classes(take: Any, kinds: Any, expected: list[Any]) -> None:
    harness = TypedHarness(kinds)
    harness.put(*EVENTS)
    assert take(harness) == expected
    stats = harness.consumer.stats()
    assert (stats.delivered, stats.filtered) == (len(expected), len(EVENTS) - len(expected))
    harness.assert_sum()


@each_take
def test_app_event_in_kinds_stays_raw(take: Any) -> None:
    harness = TypedHarness([AppEvent])
    harness.put(*EVENTS)
    found = take(harness)
    assert [(type(event), event.kind) for event in found] == [
        (AppEvent, kind) for kind in (7, 300, 1, 8, 7)
    ]
    harness = TypedHarness([AppEvent, OrderShipped])
    harness.put(*EVENTS)
    found = take(harness)
    assert [type(event) for event in found] == [OrderShipped, *[AppEvent] * 3, OrderShipped]


def test_filtered_event_makes_no_object() -> None:
    typed_harness.CALLED.clear()
    harness = TypedHarness([OrderShipped])
    call = AppEvent(9, msgspec.msgpack.encode({"what": "call"}))
    harness.put(call, OrderShipped(1), call)
    assert harness.take() == [OrderShipped(1)]
    assert typed_harness.CALLED == []
    harness = TypedHarness([Fragile])
    harness.put(call)
    assert harness.take() == typed_harness.CALLED != []


class Older(msgspec.Struct):
    order: int


class Newer(msgspec.Struct):
    order: int
    carrier: str
    weights: tuple[float, ...]
    insured: bool = True


def test_added_fields_get_defaults() -> None:
    harness = TypedHarness()
    harness.put(AppEvent(7, msgspec.msgpack.encode(Older(5))))
    assert harness.take() == [OrderShipped(5, "post", ())]


def test_unknown_fields_are_ignored() -> None:
    harness = TypedHarness()
    harness.put(AppEvent(7, msgspec.msgpack.encode(Newer(5, "ship", (1.0,)))))
    assert harness.take() == [OrderShipped(5, "ship", (1.0,))]


WRONG = [
    {"carrier": "post"},
    {"order": "five"},
    [1, 2],
    None,
    {"order": 1, "carrier": 5},
]


@each_take
def test_mismatch_arrives_as_app_event(take: Any, caplog: pytest.LogCaptureFixture) -> None:
    harness = TypedHarness()
    wrong = [AppEvent(7, msgspec.msgpack.encode(value)) for value in WRONG]
    wrong += [AppEvent(7, b""), AppEvent(7, b"\xc1"), AppEvent(7, b"\x81")]
    harness.put(OrderShipped(1), *wrong, OrderShipped(2))
    with caplog.at_level(logging.WARNING, "fastcoord"):
        assert take(harness) == [OrderShipped(1), *wrong, OrderShipped(2)]
    assert harness.consumer.stats().mismatched == len(wrong)
    harness.assert_sum()


def test_reason_is_logged_once(kind: int, caplog: pytest.LogCaptureFixture) -> None:
    @fastcoord.event(kind=kind)
    class Logged(msgspec.Struct):
        number: int

    harness = TypedHarness()
    wrong = AppEvent(kind, msgspec.msgpack.encode({"number": "one"}))
    harness.put(wrong, wrong)
    harness.put(wrong)
    with caplog.at_level(logging.WARNING, "fastcoord"):
        assert harness.take() == [wrong] * 3
    assert len(caplog.messages) == 1
    assert "Logged and is delivered as AppEvent: Expected `int`, got `str`" in caplog.messages[0]
    assert harness.consumer.stats().mismatched == 3


@each_take
def test_failing_log_keeps_event(take: Any, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    @fastcoord.event(kind=kind)
    class Unlogged(msgspec.Struct):
        number: int

    def fail(record: logging.LogRecord) -> bool:
        raise KeyboardInterrupt

    harness = TypedHarness()
    wrong = AppEvent(kind, msgspec.msgpack.encode({"number": "one"}))
    sent = [StateChange(1, 2, 3), wrong, wrong, ReloadSettings()]
    harness.put(*sent)
    with monkeypatch.context() as failing:
        failing.setattr(logging.getLogger("fastcoord"), "filters", [fail])
        with pytest.raises(KeyboardInterrupt):
            take(harness)
    harness.assert_sum()
    assert take(harness) == sent
    assert harness.consumer.stats().mismatched == 2
    harness.assert_sum()


@each_take
def test_failing_check_arrives_as_app_event(take: Any) -> None:
    harness = TypedHarness()
    sent = [AppEvent(9, msgspec.msgpack.encode({"what": what})) for what in ("key", "value")]
    harness.put(*sent)
    assert take(harness) == sent
    assert harness.consumer.stats().mismatched == 2


@each_take
@pytest.mark.parametrize("what", ["memory", "interrupt"])
def test_interrupted_decoding_keeps_event(
    take: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = TypedHarness()
    interrupted = AppEvent(9, msgspec.msgpack.encode({"what": what}))
    harness.put(StateChange(1, 2, 3), interrupted, OrderShipped(1))
    found: list[Any] = []

    def take_all() -> None:
        while True:
            found.extend(take_one(harness, take))

    with pytest.raises(type(FAILURES[what])):
        take_all()
    harness.assert_sum()
    monkeypatch.delitem(FAILURES, what)
    found += take(harness)
    assert found == [StateChange(1, 2, 3), Fragile(what), OrderShipped(1)]
    harness.assert_sum()


def take_one(harness: TypedHarness, take: Any) -> list[Any]:
    if take is TypedHarness.take:
        return [harness.consumer.take_event()]
    return list(harness.consumer.take_batch())  # type: ignore[arg-type]


@each_take
def test_check_may_close_subscription(take: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = TypedHarness()

    class Closing(list):  # type: ignore[type-arg]
        def append(self, item: Any) -> None:
            harness.consumer.close()

    monkeypatch.setattr(typed_harness, "CALLED", Closing())
    call = AppEvent(9, msgspec.msgpack.encode({"what": "call"}))
    harness.put(StateChange(1, 2, 3), call, OrderShipped(1))
    assert take(harness) in ([], [StateChange(1, 2, 3)])
    gc.collect()
    harness.assert_sum()


@each_take
def test_check_may_not_iterate(take: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = TypedHarness()
    raised = []

    class Iterating(list):  # type: ignore[type-arg]
        def append(self, item: Any) -> None:
            with pytest.raises(fastcoord.SubscriptionError) as error:
                harness.consumer.take_event()
            raised.append(str(error.value))

    monkeypatch.setattr(typed_harness, "CALLED", Iterating())
    call = AppEvent(9, msgspec.msgpack.encode({"what": "call"}))
    before = [StateChange(1, number, 3) for number in range(EVENTS_AHEAD + 1)]
    harness.put(*before, call, OrderShipped(1))
    # The first event is decoded together with others, which wait for their turn.
    found = [harness.consumer.take_event(), *take(harness)]
    assert len(raised) == 1
    monkeypatch.undo()
    assert found == [*before, Fragile("call"), OrderShipped(1)]
    harness.assert_sum()


@each_take
def test_failed_decoding_keeps_decoded_events(take: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = TypedHarness()
    sent = [StateChange(1, number, 3) for number in range(EVENTS_AHEAD + 1)]
    harness.put(*sent, AppEvent(9, msgspec.msgpack.encode({"what": "memory"})))
    found = [harness.consumer.take_event()]

    def take_all() -> None:
        while True:
            found.extend(take_one(harness, take))

    with pytest.raises(MemoryError):
        take_all()
    harness.assert_sum()
    monkeypatch.delitem(FAILURES, "memory")
    assert [*found, *take(harness)] == [*sent, Fragile("memory")]


@each_take
def test_instances_are_released(take: Any) -> None:
    harness = TypedHarness()
    sent = [OrderShipped(1), AppEvent(7, b"\xc1"), AppEvent(1, b"raw"), StateChange(1, 2, 3)]
    harness.put(*sent * 20)
    fresh = [OrderShipped(1)]
    found = [event for event in take(harness) if type(event) is OrderShipped]
    counts = {sys.getrefcount(found[place]) for place in range(len(found))}
    assert (len(found), counts) == (20, {sys.getrefcount(fresh[0])})


def test_decoded_instances_are_released() -> None:
    harness = TypedHarness()
    harness.put(*[PriceChanged("released", number) for number in range(20)])
    assert harness.consumer.take_event() == PriceChanged("released", 0)
    decoded = [each for each in alive() if each.article == "released"]
    assert len(decoded) == 19
    decoded.clear()
    harness.consumer.close()
    assert [each for each in alive() if each.article == "released"] == []


def alive() -> list[PriceChanged]:
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is PriceChanged]


def test_event_loop_survives_mismatch() -> None:
    async def read() -> list[Any]:
        harness = TypedHarness()
        harness.put(AppEvent(7, b"\xc1"), OrderShipped(1))
        harness.ring.close()
        return [event async for event in harness.consumer]

    assert asyncio.run(read()) == [AppEvent(7, b"\xc1"), OrderShipped(1)]
