"""Values that event constructors refuse, and events that a batch refuses."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import pytest

import fastcoord
from support.oracles import reference

GOOD: dict[str, Any] = {
    "u16": 1,
    "u32": 1,
    "u64": 1,
    "i64 or none": 1,
    "str": "text",
    "bytes": b"content",
    "list of u32": (1, 2),
    "list of cache items": (("Domain", 5),),
    "bool": True,
}
OUT_OF_RANGE: dict[str, list[Any]] = {
    **{f"u{bits}": [-1, 1 << bits, -(1 << 70), 1 << 200] for bits in (16, 32, 64)},
    "i64 or none": [-(1 << 63) - 1, 1 << 63, 1 << 200],
    "str": ["\ud800", "a\udfff", "\udc80" * 3],
    "bytes": [],
    "list of u32": [[-1], [1, 1 << 32], (1 << 64,)],
    "list of cache items": [
        [("Domain", -1)],
        [("Domain", 1 << 32)],
        [("EmailNegative", 1, 1 << 32)],
        [("EmailNegative", 1)],
        [("Domain", 1, 2)],
        [("Domain",)],
        [("Unheard", 1)],
        [("domain", 1)],
    ],
    "bool": [],
}
NOT_AN_INTEGER = ["1", b"1", 1.0, True, False, [], (1,), object()]
WRONG_TYPE: dict[str, list[Any]] = {
    "u16": [None, *NOT_AN_INTEGER],
    "u32": [None, *NOT_AN_INTEGER],
    "u64": [None, *NOT_AN_INTEGER],
    "i64 or none": NOT_AN_INTEGER,
    "str": [None, b"text", 1, ["t"]],
    "bytes": [None, "text", 1, [1], (1,)],
    "list of u32": [None, 1, "12", b"12", [None], ["1"], [1.0], [1, True], [[1]]],
    "list of cache items": [
        None,
        1,
        "Domain",
        [1],
        ["Domain"],
        [("Domain", "5")],
        [("Domain", None)],
        [("Domain", True)],
        [("Domain", 5.0)],
        [("EmailNegative", 1, "9")],
        [()],
    ],
    "bool": [None, 1, 0, "true", b"", 1.0],
}


def _fields() -> Iterator[tuple[str, str, str]]:
    for event_type in sorted(reference.event_types("fastcoord-1")):
        for field, kind in _kinds(event_type).items():
            yield event_type, field, kind


def _kinds(event_type: str) -> dict[str, str]:
    layouts = reference.PROTOCOLS["fastcoord-1"].values()
    layout = next(layout for layout in layouts if layout.type == event_type)
    return {**layout.fields, **dict.fromkeys(layout.constants, "bool")}


def _make(event_type: str, **fields: Any) -> Any:
    good = {field: GOOD[kind] for field, kind in _kinds(event_type).items()}
    return getattr(fastcoord, event_type)(**{**good, **fields})


def _cases(values: dict[str, list[Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("event_type", "field", "value"),
        [(event_type, field, value) for event_type, field, kind in _fields()
         for value in values[kind]],
    )  # fmt: skip


@_cases(OUT_OF_RANGE)
def test_out_of_range_names_field(event_type: str, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{event_type}\.{field}"):
        _make(event_type, **{field: value})


@_cases(WRONG_TYPE)
def test_wrong_type_names_field(event_type: str, field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"{event_type}\.{field}"):
        _make(event_type, **{field: value})


class WithoutRepr:
    def __repr__(self) -> str:
        raise ZeroDivisionError("the representation itself fails")


@pytest.mark.parametrize("huge", [1 << 99_999, -1 << 99_999], ids=["positive", "negative"])
def test_huge_number_names_field(huge: int) -> None:
    for kind in ("u16", "u32", "u64", "i64 or none"):
        event_type, field, _ = next(each for each in _fields() if each[2] == kind)
        with pytest.raises(ValueError, match=rf"{event_type}\.{field} .* not <int>"):
            _make(event_type, **{field: huge})
    with pytest.raises(ValueError, match=r"node_id .* not <int>"):
        fastcoord.encode_batch([], node_id=huge, protocol="fastcoord-1")
    with pytest.raises(ValueError, match=r"node_id .* not <int>"):
        fastcoord.Batch(huge, [])


def test_value_without_repr_names_field() -> None:
    for event_type, field, _ in _fields():
        with pytest.raises(TypeError, match=rf"{event_type}\.{field}.* \(<WithoutRepr>\)"):
            _make(event_type, **{field: WithoutRepr()})
    with pytest.raises(TypeError, match="not an event: WithoutRepr"):
        fastcoord.encode_batch([WithoutRepr()], node_id=1, protocol="fastcoord-1")  # type: ignore[list-item]


def test_text_is_no_cache_item() -> None:
    with pytest.raises(TypeError, match=r"items\[0\] must be a tuple"):
        fastcoord.CacheInvalidate(["ab"])  # type: ignore[list-item]


@pytest.mark.parametrize(("event_type", "field", "_kind"), list(_fields()))
def test_missing_field_is_refused(event_type: str, field: str, _kind: str) -> None:
    good = {name: GOOD[of] for name, of in _kinds(event_type).items() if name != field}
    if (event_type, field) == ("AppEvent", "payload"):
        assert fastcoord.AppEvent(**good).payload == b""
    else:
        with pytest.raises(TypeError, match=rf"{event_type}\(\).*'{field}'"):
            getattr(fastcoord, event_type)(**good)


@pytest.mark.parametrize("event_type", sorted(reference.event_types("fastcoord-1")))
def test_unknown_field_is_refused(event_type: str) -> None:
    with pytest.raises(TypeError, match=rf"{event_type}\(\).*'unheard_of'"):
        _make(event_type, unheard_of=1)
    good = [GOOD[kind] for kind in _kinds(event_type).values()]
    with pytest.raises(
        TypeError, match=rf"{event_type}\(\) takes.* {len(good)} arg.*{len(good) + 1}"
    ):
        getattr(fastcoord, event_type)(*good, 1)


@pytest.mark.parametrize(("event_type", "field", "_kind"), list(_fields()))
def test_field_given_twice_is_refused(event_type: str, field: str, _kind: str) -> None:
    kind = getattr(fastcoord, event_type)
    names = kind.__match_args__
    values = [GOOD[_kinds(event_type)[name]] for name in names]
    given = values[: names.index(field) + 1]
    with pytest.raises(TypeError, match=rf"{event_type}\(\).*'{field}'"):
        kind(*given, **{field: values[names.index(field)]})


def test_keyword_need_not_be_interned() -> None:
    name = "".join(["account", "_id"])
    assert fastcoord.ReloadPushServers(**{name: 5}) == fastcoord.ReloadPushServers(5)
    assert getattr(fastcoord.ReloadPushServers(5), "".join(["account", "_id"])) == 5


class Number(enum.IntEnum):
    SEVEN = 7


class Bits(enum.IntFlag):
    LOW = 1
    HIGH = 1 << 40


class Index:
    """Like a NumPy integer: usable as an integer, but no ``int``."""

    def __index__(self) -> int:
        return 7


class BrokenIndex:
    def __index__(self) -> int:
        raise ZeroDivisionError("the index itself fails")


def test_integer_likes_become_int() -> None:
    events = [
        fastcoord.RegistryInsert(Number.SEVEN, Number.SEVEN),
        fastcoord.RegistryInsert(Index(), Index()),  # type: ignore[arg-type]
    ]
    assert events == [fastcoord.RegistryInsert(7, 7)] * 2
    assert {type(value) for event in events for value in (event.object, event.id)} == {int}
    change = fastcoord.StateChange(1, 2, Bits.LOW | Bits.HIGH)
    assert (type(change.types), change.types) == (int, 1 | 1 << 40)
    tokens = fastcoord.InvalidateAccessTokens([Number.SEVEN, Index()])  # type: ignore[list-item]
    assert [(type(number), number) for number in tokens.account_ids] == [(int, 7)] * 2


def test_index_error_propagates() -> None:
    with pytest.raises(ZeroDivisionError):
        fastcoord.ReloadPushServers(BrokenIndex())  # type: ignore[arg-type]


def test_failing_iterable_makes_no_event() -> None:
    def accounts() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("halfway")

    with pytest.raises(ZeroDivisionError):
        fastcoord.InvalidateAccessTokens(accounts())


def test_string_subclass_becomes_str() -> None:
    class Text(str):
        __slots__ = ()

    event = fastcoord.CalendarAlert(1, 2, None, Text("uid"), Text("alert"))
    assert (type(event.uid), type(event.alert_id)) == (str, str)
    assert event == fastcoord.CalendarAlert(1, 2, None, "uid", "alert")


ALL_GOOD = {name: _make(name) for name in sorted(reference.event_types("fastcoord-1"))}


@pytest.mark.parametrize("protocol", reference.PROTOCOLS)
@pytest.mark.parametrize("event_type", ALL_GOOD)
def test_event_needs_its_protocol(event_type: str, protocol: str) -> None:
    event = ALL_GOOD[event_type]
    if event_type in reference.event_types(protocol):
        payload = fastcoord.encode_batch([event], node_id=1, protocol=protocol)
        assert list(fastcoord.decode_batch(payload, protocol=protocol)) == [event]
    else:
        with pytest.raises(fastcoord.UnsupportedEvent, match=f"{event_type}.*{protocol}"):
            fastcoord.encode_batch([event], node_id=1, protocol=protocol)


@pytest.mark.parametrize("node_id", [-1, 1 << 16, 1 << 100])
def test_node_id_out_of_range_is_refused(node_id: int) -> None:
    with pytest.raises(ValueError, match="node_id"):
        fastcoord.encode_batch([], node_id=node_id, protocol="stalwart-0.15")
    with pytest.raises(ValueError, match="node_id"):
        fastcoord.Batch(node_id, [])


@pytest.mark.parametrize("node_id", [None, "1", 1.0, True])
def test_node_id_must_be_integer(node_id: Any) -> None:
    with pytest.raises(TypeError, match="node_id"):
        fastcoord.encode_batch([], node_id=node_id, protocol="stalwart-0.15")


@pytest.mark.parametrize(
    "other", [None, 1, "ReloadSettings", {"type": "ReloadSettings"}, fastcoord.ReloadSettings]
)
def test_non_event_is_not_encoded(other: Any) -> None:
    with pytest.raises(TypeError, match="not an event"):
        fastcoord.encode_batch([other], node_id=1, protocol="stalwart-0.15")


@pytest.mark.parametrize("event_type", ALL_GOOD)
def test_object_new_makes_no_event(event_type: str) -> None:
    with pytest.raises(TypeError, match=event_type):
        object.__new__(getattr(fastcoord, event_type))


@pytest.mark.parametrize("event_type", ALL_GOOD)
def test_new_checks_like_the_class(event_type: str) -> None:
    kind, fields = getattr(fastcoord, event_type), _kinds(event_type)
    good = {name: GOOD[of] for name, of in fields.items()}
    assert kind.__new__(kind, **good) == type.__call__(kind, **good) == kind(**good)
    if fields:
        with pytest.raises(TypeError, match=event_type):
            kind.__new__(kind)


def test_base_class_is_not_made() -> None:
    with pytest.raises(TypeError, match="make one of its subclasses"):
        fastcoord.Event()


@pytest.mark.parametrize("event_type", ["Event", *ALL_GOOD])
def test_event_class_has_no_subclass(event_type: str) -> None:
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Mine", (getattr(fastcoord, event_type),), {})


@pytest.mark.parametrize("protocol", ["stalwart-0.14", "", "fastcoord", None, 1, []])
def test_unknown_protocol_lists_known(protocol: Any) -> None:
    with pytest.raises(ValueError, match=r"stalwart-0\.15.*fastcoord-1"):
        fastcoord.encode_batch([], node_id=1, protocol=protocol)
    with pytest.raises(ValueError, match=r"stalwart-0\.15.*fastcoord-1"):
        fastcoord.decode_batch(b"\x01", protocol=protocol)


@pytest.mark.parametrize("payload", [None, "01", 1, [1]])
def test_non_buffer_is_not_decoded(payload: Any) -> None:
    with pytest.raises(TypeError):
        fastcoord.decode_batch(payload, protocol="stalwart-0.15")
