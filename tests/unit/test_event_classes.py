"""The event classes of a program: registration, publishing, conversion."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import fastcoord
from fastcoord import AppEvent, Event, Missed, ReloadSettings, StateChange, UnsupportedEvent
from fastcoord.cli.event_text import payload_comment
from fastcoord.publishing.batcher import Batcher
from fastcoord.receiving.consumer import Consumer
from fastcoord.wire.typed import class_of, class_of_kind
from support.receiving.typed_harness import (
    EVENTS,
    PROTOCOL,
    OrderShipped,
    PriceChanged,
    TypedHarness,
)


@pytest.mark.parametrize("wrong", [-1, 65536])
def test_kind_out_of_range_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 65535"):
        fastcoord.event(kind=wrong)


@pytest.mark.parametrize("wrong", [True, "7", None])
def test_kind_of_wrong_type_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="kind must be an integer"):
        fastcoord.event(kind=wrong)


def test_decorator_without_kind_names_remedy() -> None:
    class Other(msgspec.Struct):
        pass

    undecorated: Any = fastcoord.event
    with pytest.raises(TypeError, match=r"write @fastcoord\.event\(kind=\.\.\.\)"):
        undecorated(Other)


def test_second_class_of_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Other is the kind of .*\.OrderShipped: give each"):

        @fastcoord.event(kind=7)
        class Other(msgspec.Struct):
            pass

    assert class_of_kind(7).type is OrderShipped  # type: ignore[union-attr]


def test_reloaded_class_replaces_first(kind: int) -> None:
    def define(**fields: Any) -> Any:
        return fastcoord.event(kind=kind)(
            msgspec.defstruct("Reloaded", list(fields.items()), module="app")
        )

    first, second = define(number=int), define(number=int)
    harness = TypedHarness()
    harness.put(first(1), second(2))
    assert [(type(event), event.number) for event in harness.take()] == [(second, 1), (second, 2)]


def test_reloaded_class_may_change_kind(kind: int) -> None:
    cls = msgspec.defstruct("Renumbered", [("number", int)], module="app")
    again = msgspec.defstruct("Renumbered", [("number", int)], module="app")
    fastcoord.event(kind=4001)(cls)
    fastcoord.event(kind=kind)(again)
    assert class_of_kind(4001) is None
    assert class_of_kind(kind).type is again  # type: ignore[union-attr]


def test_class_has_one_kind(kind: int) -> None:
    cls = msgspec.defstruct("Twice", [("number", int)], module="app")
    fastcoord.event(kind=kind)(cls)
    with pytest.raises(ValueError, match=rf"app\.Twice has the kind {kind} already, so not 4001"):
        fastcoord.event(kind=4001)(cls)
    assert class_of_kind(4001) is None
    assert fastcoord.event(kind=kind)(cls) is cls
    assert class_of_kind(kind).type is cls  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [int, str, dict, Event, StateChange, lambda: None, "text"])
def test_other_class_is_refused(wrong: Any, kind: int) -> None:
    with pytest.raises(TypeError, match=r"a subclass of msgspec\.Struct or a dataclass"):
        fastcoord.event(kind=kind)(wrong)
    assert class_of_kind(kind) is None


def test_undecodable_class_is_refused(kind: int) -> None:
    class Ambiguous(msgspec.Struct):
        value: OrderShipped | PriceChanged

    with pytest.raises(TypeError, match="Ambiguous cannot be an event"):
        fastcoord.event(kind=kind)(Ambiguous)
    assert class_of(Ambiguous) is None


def new_batcher(protocol: str = PROTOCOL) -> Batcher:
    return Batcher(
        node_id=5,
        protocol=protocol,
        limit=1000,
        capacity=100,
        clock=lambda: 0.0,
        on_open=lambda: None,
        on_seal=lambda: None,
    )


def test_payload_is_message_pack() -> None:
    payload = fastcoord.encode_batch([OrderShipped(1)], node_id=5, protocol=PROTOCOL)
    (sent,) = fastcoord.decode_batch(payload, protocol=PROTOCOL)
    assert isinstance(sent, AppEvent)
    assert sent.kind == 7
    assert msgspec.msgpack.decode(sent.payload) == {"order": 1, "carrier": "post", "weights": []}


@pytest.mark.parametrize("change", [list.clear, lambda events: events.extend(events[1:])])
def test_encoding_may_change_list(kind: int, change: Callable[[list[Any]], None]) -> None:
    class Zone(datetime.tzinfo):
        def utcoffset(self, at: datetime.datetime | None) -> datetime.timedelta:
            change(events)
            return datetime.timedelta()

    @fastcoord.event(kind=kind)
    class Timed(msgspec.Struct):
        at: datetime.datetime

    events: list[Any] = [Timed(datetime.datetime(2000, 1, 1, tzinfo=Zone()))]
    events += [StateChange(number, 2, 3) for number in range(100)]
    payload = fastcoord.encode_batch(events, node_id=5, protocol=PROTOCOL)
    assert list(fastcoord.decode_batch(payload, protocol=PROTOCOL))[1:] == events[1:]


def test_mixed_events_are_prepared() -> None:
    prepared = new_batcher().prepare(EVENTS)
    assert [type(event) for event in prepared if type(event) is not AppEvent] == [
        StateChange,
        ReloadSettings,
    ]
    assert [event.kind for event in prepared if isinstance(event, AppEvent)] == [7, 300, 1, 8, 7]


@pytest.mark.parametrize("events", [[OrderShipped(1)], [StateChange(1, 2, 3), OrderShipped(1)]])
def test_other_protocol_refuses_classes(events: list[Any]) -> None:
    message = "OrderShipped is sent as AppEvent, which does not exist in the protocol stalwart-0.16"
    with pytest.raises(UnsupportedEvent, match=message):
        new_batcher("stalwart-0.16").prepare(events)
    with pytest.raises(UnsupportedEvent, match=message):
        fastcoord.encode_batch(events, node_id=5, protocol="stalwart-0.16")


def test_unregistered_class_is_refused() -> None:
    @dataclass
    class Plain:
        number: int

    class Special(OrderShipped):
        pass

    for wrong in (Plain(1), Special(1)):
        with pytest.raises(TypeError, match=r"decorate the class with @fastcoord\.event"):
            new_batcher().prepare([StateChange(1, 2, 3), wrong])
    with pytest.raises(TypeError, match=r"a class of events: write OrderShipped\(\.\.\.\)"):
        new_batcher().prepare([OrderShipped])


@pytest.mark.parametrize("notice", [Missed(1, 1, "gap"), Missed])
def test_published_notice_is_refused(notice: Any) -> None:
    with pytest.raises(
        TypeError, match=r"Missed is a notice: subscriptions deliver notices"
    ) as got:
        new_batcher().prepare([notice])
    assert "decorate" not in str(got.value)


def test_large_event_is_refused() -> None:
    with pytest.raises(fastcoord.EventTooLarge):
        new_batcher().prepare([OrderShipped(1, "x" * 1000)])


def test_unencodable_value_is_refused() -> None:
    batcher = new_batcher()
    with pytest.raises(TypeError, match="unsupported"):
        batcher.prepare([OrderShipped(object())])  # type: ignore[arg-type]
    assert batcher.accepted == 0


def test_protocol_without_app_event_refuses_kinds() -> None:
    with pytest.raises(UnsupportedEvent, match=r"OrderShipped in kinds .* sent as AppEvent, which"):
        Consumer(
            protocol="stalwart-0.16",
            kinds=[OrderShipped],
            overflow="drop-oldest",
            peers=False,
            capacity_messages=1,
            capacity_bytes=1,
            on_close=lambda consumer: None,
        ).close()


def test_unregistered_class_in_kinds_is_refused() -> None:
    class Plain(msgspec.Struct):
        pass

    with pytest.raises(TypeError, match=r"needs @fastcoord\.event"):
        TypedHarness([Plain])


def test_class_registered_later_is_used(kind: int) -> None:
    harness = TypedHarness()
    raw = AppEvent(kind, msgspec.msgpack.encode({"number": 1}))
    harness.put(raw)
    assert harness.take() == [raw]

    @fastcoord.event(kind=kind)
    class Later(msgspec.Struct):
        number: int

    harness.put(raw)
    assert harness.take() == [Later(1)]


@pytest.mark.parametrize("event", [EVENTS[0], EVENTS[2], EVENTS[4], EVENTS[6]])
def test_builtins_convert_back(event: Any) -> None:
    plain = fastcoord.to_builtins(event)
    assert plain["type"] == type(event).__name__
    assert fastcoord.from_builtins(plain) == event
    assert fastcoord.from_builtins(msgspec.json.decode(msgspec.json.encode(plain))) == event


def test_wrong_builtins_are_refused() -> None:
    class Plain(msgspec.Struct):
        number: int

    plain = fastcoord.to_builtins(OrderShipped(1))
    assert plain == {
        "type": "OrderShipped",
        "kind": 7,
        "fields": {"order": 1, "carrier": "post", "weights": ()},
    }
    with pytest.raises(TypeError, match="OrderShipped: Expected `int`, got `str`"):
        fastcoord.from_builtins({**plain, "fields": {"order": "one"}})
    with pytest.raises(ValueError, match="no event class 'OrderShipped' with kind 99"):
        fastcoord.from_builtins({**plain, "kind": 99})
    with pytest.raises(TypeError, match="not an event"):
        fastcoord.to_builtins(Plain(1))


def test_listen_shows_fields() -> None:
    payload = fastcoord.encode_batch([OrderShipped(5)], node_id=5, protocol=PROTOCOL)
    (sent,) = fastcoord.decode_batch(payload, protocol=PROTOCOL)
    assert payload_comment(sent) == '  # {"order":5,"carrier":"post","weights":[]}'
    for other in (b"", b"raw", b"\x05", b"\x81\xc1", b"\x81\x81\x01\x02\x03"):
        assert payload_comment(AppEvent(7, other)) == ""
    assert payload_comment(ReloadSettings()) == ""
