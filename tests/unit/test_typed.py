"""The event classes of a program: registration, conversion, filters, payloads that do not fit."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

import fastcoord
from fastcoord import AppEvent, Batch, Event, Missed, ReloadSettings, StateChange, UnsupportedEvent
from fastcoord.cli.event_text import payload_comment
from fastcoord.publishing.batcher import Batcher
from fastcoord.receiving.consumer import Consumer
from fastcoord.wire.typed import class_of, class_of_kind, forget_kind

PROTOCOL = "fastcoord-1"


@fastcoord.event(kind=7)
class OrderShipped(msgspec.Struct, frozen=True):
    order: int
    carrier: str = "post"
    weights: tuple[float, ...] = ()


@fastcoord.event(kind=300)
@dataclass(frozen=True)
class PriceChanged:
    article: str
    cents: int
    tags: list[str] = field(default_factory=list)


@fastcoord.event(kind=8)
class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


@fastcoord.event(kind=9)
class Fragile(msgspec.Struct):
    """Its check of a new instance fails in any way."""

    what: str

    def __post_init__(self) -> None:
        if self.what in FAILURES:
            raise FAILURES[self.what]
        if self.what == "call":
            CALLED.append(self)


FAILURES: dict[str, BaseException] = {
    "key": KeyError("a key"),
    "value": ValueError("a value"),
    "memory": MemoryError(),
    "interrupt": KeyboardInterrupt(),
}
CALLED: list[Any] = []
EVENTS = [
    OrderShipped(1),
    StateChange(1, 2, 3),
    PriceChanged("tea", 250, ["hot"]),
    AppEvent(1, b"raw"),
    Tree("root", [Tree("leaf")]),
    ReloadSettings(),
    OrderShipped(2, "ship", (1.5, 2.5)),
]


@pytest.fixture
def kind() -> Iterator[int]:
    """A kind that a test may use; it is free again afterwards."""
    yield 4000
    forget_kind(4000)


class Harness:
    """A consumer without a node."""

    def __init__(self, kinds: Any = None) -> None:
        self.consumer = Consumer(
            protocol=PROTOCOL,
            kinds=kinds,
            overflow="drop-oldest",
            peers=False,
            capacity_messages=1000,
            capacity_bytes=1 << 20,
            on_close=lambda consumer: None,
        )
        self.ring = self.consumer.ring

    def put(self, *events: Any) -> None:
        content = fastcoord.encode_batch(events, node_id=5, protocol=PROTOCOL)
        self.ring.put_message(content, 1, len(events), 5, 1.0)

    def take(self) -> list[Any]:
        found = []
        while (item := self.consumer.take_event()) is not None:
            found.append(item)
        return found

    def take_batches(self) -> list[Any]:
        found = []
        while (item := self.consumer.take_batch()) is not None:
            found += list(item) if isinstance(item, Batch) else [item]
        return found

    def assert_sum(self) -> None:
        stats = self.consumer.stats()
        seen = stats.delivered + stats.buffered + stats.filtered + stats.missed
        assert stats.arrived == seen, stats

    def __del__(self) -> None:
        if hasattr(self, "consumer"):
            self.consumer.close()


# --------------------------------------------------------------------------------- registration


@pytest.mark.parametrize("wrong", [-1, 65536])
def test_kind_out_of_range_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 65535"):
        fastcoord.event(kind=wrong)


@pytest.mark.parametrize("wrong", [True, "7", None])
def test_kind_of_wrong_type_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="kind must be an integer"):
        fastcoord.event(kind=wrong)


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
    harness = Harness()
    harness.put(first(1), second(2))
    assert [(type(event), event.number) for event in harness.take()] == [(second, 1), (second, 2)]


def test_reloaded_class_may_change_kind(kind: int) -> None:
    cls = msgspec.defstruct("Renumbered", [("number", int)], module="app")
    again = msgspec.defstruct("Renumbered", [("number", int)], module="app")
    fastcoord.event(kind=4001)(cls)
    fastcoord.event(kind=kind)(again)
    assert class_of_kind(4001) is None
    assert class_of_kind(kind).type is again  # type: ignore[union-attr]


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


# ------------------------------------------------------------------------------------ publishing


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


def test_large_event_is_refused() -> None:
    with pytest.raises(fastcoord.EventTooLarge):
        new_batcher().prepare([OrderShipped(1, "x" * 1000)])


def test_unencodable_value_is_refused() -> None:
    batcher = new_batcher()
    with pytest.raises(TypeError, match="unsupported"):
        batcher.prepare([OrderShipped(object())])  # type: ignore[arg-type]
    assert batcher.accepted == 0


# ------------------------------------------------------------------------------------- receiving


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
@pytest.mark.parametrize("kinds", [None, [Event]])
def test_instances_are_delivered(take: Any, kinds: Any) -> None:
    harness = Harness(kinds)
    harness.put(*EVENTS)
    harness.put(*EVENTS)
    assert take(harness) == EVENTS * 2
    assert harness.consumer.stats().mismatched == 0
    harness.assert_sum()


async def test_iteration_delivers_instances() -> None:
    harness = Harness([OrderShipped])
    harness.put(*EVENTS)
    harness.ring.close()
    found = []
    async for event in harness.consumer:
        match event:
            case OrderShipped(order=number, carrier=carrier):
                found.append((number, carrier))
    assert found == [(1, "post"), (2, "ship")]


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
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
    harness = Harness(kinds)
    harness.put(*EVENTS)
    assert take(harness) == expected
    stats = harness.consumer.stats()
    assert (stats.delivered, stats.filtered) == (len(expected), len(EVENTS) - len(expected))
    harness.assert_sum()


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
def test_app_event_in_kinds_stays_raw(take: Any) -> None:
    harness = Harness([AppEvent])
    harness.put(*EVENTS)
    found = take(harness)
    assert [(type(event), event.kind) for event in found] == [
        (AppEvent, kind) for kind in (7, 300, 1, 8, 7)
    ]
    harness = Harness([AppEvent, OrderShipped])
    harness.put(*EVENTS)
    found = take(harness)
    assert [type(event) for event in found] == [OrderShipped, *[AppEvent] * 3, OrderShipped]


def test_filtered_event_makes_no_object() -> None:
    CALLED.clear()
    harness = Harness([OrderShipped])
    call = AppEvent(9, msgspec.msgpack.encode({"what": "call"}))
    harness.put(call, OrderShipped(1), call)
    assert harness.take() == [OrderShipped(1)]
    assert CALLED == []
    harness = Harness([Fragile])
    harness.put(call)
    assert harness.take() == CALLED != []


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
        Harness([Plain])


# ------------------------------------------------------------------------------------- evolution


class Older(msgspec.Struct):
    order: int


class Newer(msgspec.Struct):
    order: int
    carrier: str
    weights: tuple[float, ...]
    insured: bool = True


def test_added_fields_get_defaults() -> None:
    harness = Harness()
    harness.put(AppEvent(7, msgspec.msgpack.encode(Older(5))))
    assert harness.take() == [OrderShipped(5, "post", ())]


def test_unknown_fields_are_ignored() -> None:
    harness = Harness()
    harness.put(AppEvent(7, msgspec.msgpack.encode(Newer(5, "ship", (1.0,)))))
    assert harness.take() == [OrderShipped(5, "ship", (1.0,))]


WRONG = [
    {"carrier": "post"},
    {"order": "five"},
    [1, 2],
    None,
    {"order": 1, "carrier": 5},
]


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
def test_mismatch_arrives_as_app_event(take: Any, caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness()
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

    harness = Harness()
    wrong = AppEvent(kind, msgspec.msgpack.encode({"number": "one"}))
    harness.put(wrong, wrong)
    harness.put(wrong)
    with caplog.at_level(logging.WARNING, "fastcoord"):
        assert harness.take() == [wrong] * 3
    assert len(caplog.messages) == 1
    assert "Logged and is delivered as AppEvent: Expected `int`, got `str`" in caplog.messages[0]
    assert harness.consumer.stats().mismatched == 3


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
def test_failing_check_arrives_as_app_event(take: Any) -> None:
    harness = Harness()
    sent = [AppEvent(9, msgspec.msgpack.encode({"what": what})) for what in ("key", "value")]
    harness.put(*sent)
    assert take(harness) == sent
    assert harness.consumer.stats().mismatched == 2


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
@pytest.mark.parametrize("what", ["memory", "interrupt"])
def test_interrupted_decoding_keeps_event(
    take: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness()
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


def take_one(harness: Harness, take: Any) -> list[Any]:
    if take is Harness.take:
        return [harness.consumer.take_event()]
    return list(harness.consumer.take_batch())  # type: ignore[arg-type]


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
def test_check_may_close_subscription(take: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()

    class Closing(list):  # type: ignore[type-arg]
        def append(self, item: Any) -> None:
            harness.consumer.close()

    monkeypatch.setitem(globals(), "CALLED", Closing())
    call = AppEvent(9, msgspec.msgpack.encode({"what": "call"}))
    harness.put(StateChange(1, 2, 3), call, OrderShipped(1))
    assert take(harness) in ([], [StateChange(1, 2, 3)])
    gc.collect()
    harness.assert_sum()


def test_check_may_not_iterate(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    raised = []

    class Iterating(list):  # type: ignore[type-arg]
        def append(self, item: Any) -> None:
            with pytest.raises(fastcoord.SubscriptionError) as error:
                harness.consumer.take_event()
            raised.append(str(error.value))

    monkeypatch.setitem(globals(), "CALLED", Iterating())
    harness.put(AppEvent(9, msgspec.msgpack.encode({"what": "call"})), OrderShipped(1))
    found = harness.take()
    assert len(raised) == 1
    monkeypatch.undo()
    assert found == [Fragile("call"), OrderShipped(1)]


def test_class_registered_later_is_used(kind: int) -> None:
    harness = Harness()
    raw = AppEvent(kind, msgspec.msgpack.encode({"number": 1}))
    harness.put(raw)
    assert harness.take() == [raw]

    @fastcoord.event(kind=kind)
    class Later(msgspec.Struct):
        number: int

    harness.put(raw)
    assert harness.take() == [Later(1)]


# ----------------------------------------------------------------------------------- conversion


@pytest.mark.parametrize("event", [EVENTS[0], EVENTS[2], EVENTS[4], EVENTS[6]])
def test_builtins_convert_back(event: Any) -> None:
    plain = fastcoord.to_builtins(event)
    assert plain["type"] == type(event).__name__
    assert fastcoord.from_builtins(plain) == event
    assert fastcoord.from_builtins(msgspec.json.decode(msgspec.json.encode(plain))) == event


def test_wrong_builtins_are_refused() -> None:
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
        fastcoord.to_builtins(Older(1))


@pytest.mark.parametrize("take", [Harness.take, Harness.take_batches])
def test_instances_are_released(take: Any) -> None:
    harness = Harness()
    sent = [OrderShipped(1), AppEvent(7, b"\xc1"), AppEvent(1, b"raw"), StateChange(1, 2, 3)]
    harness.put(*sent * 20)
    fresh = [OrderShipped(1)]
    found = [event for event in take(harness) if type(event) is OrderShipped]
    counts = {sys.getrefcount(found[place]) for place in range(len(found))}
    assert (len(found), counts) == (20, {sys.getrefcount(fresh[0])})


def test_decoded_instances_are_released() -> None:
    harness = Harness()
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
        harness = Harness()
        harness.put(AppEvent(7, b"\xc1"), OrderShipped(1))
        harness.ring.close()
        return [event async for event in harness.consumer]

    assert asyncio.run(read()) == [AppEvent(7, b"\xc1"), OrderShipped(1)]


def test_listen_shows_fields() -> None:
    payload = fastcoord.encode_batch([OrderShipped(5)], node_id=5, protocol=PROTOCOL)
    (sent,) = fastcoord.decode_batch(payload, protocol=PROTOCOL)
    assert payload_comment(sent) == '  # {"order":5,"carrier":"post","weights":[]}'
    for other in (b"", b"raw", b"\x05", b"\x81\xc1", b"\x81\x81\x01\x02\x03"):
        assert payload_comment(AppEvent(7, other)) == ""
    assert payload_comment(ReloadSettings()) == ""
