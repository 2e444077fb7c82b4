"""Properties of every event: value semantics, immutability, conversions."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from fastcoord.wire.table import KINDS
from support.inputs import strategies
from support.oracles import reference
from support.oracles.comparison import event_of, plain

POSITIONAL = {kind.name: tuple(field.name for field in kind.fields) for kind in KINDS}
"""The order of fields in the constructor, which may differ from the order on the wire."""

events = strategies.EVENTS.map(event_of)


def _values(event: fastcoord.Event) -> tuple[Any, ...]:
    return tuple(getattr(event, name) for name in POSITIONAL[type(event).__name__])


def test_every_event_has_class() -> None:
    exported = {
        name
        for name, value in vars(fastcoord).items()
        if isinstance(value, type) and issubclass(value, fastcoord.Event)
    }
    assert exported == reference.event_types("fastcoord-1") | {"Event"}
    assert set(POSITIONAL) == reference.event_types("fastcoord-1")


@given(event=events)
def test_positional_and_keyword_fields_agree(event: fastcoord.Event) -> None:
    names = POSITIONAL[type(event).__name__]
    assert type(event).__match_args__ == names
    assert type(event)(*_values(event)) == event
    assert type(event)(**dict(zip(names, _values(event), strict=True))) == event


@given(first=strategies.EVENTS, second=strategies.EVENTS)
def test_events_compare_type_and_fields(first: Any, second: Any) -> None:
    one, other, again = event_of(first), event_of(second), event_of(first)
    assert (one == other) is (first == second)
    assert (one != other) is (first != second)
    assert one == again
    assert hash(one) == hash(again)
    assert len({one, other, again}) == (1 if first == second else 2)


def test_events_of_two_types_differ() -> None:
    assert fastcoord.InvalidateAccessTokens([1]) != fastcoord.InvalidateGroupwareCache([1])
    assert fastcoord.ReloadSettings() != fastcoord.ReloadBlockedIps()
    assert fastcoord.RegistryInsert(1, 2) != fastcoord.RegistryDelete(1, 2)


@given(event=events)
def test_event_equals_only_events(event: fastcoord.Event) -> None:
    assert event != _values(event)
    assert event != fastcoord.to_builtins(event)
    assert event is not None
    assert event != object()


@given(event=events)
def test_events_have_no_order(event: fastcoord.Event) -> None:
    with pytest.raises(TypeError):
        _ = event < event  # type: ignore[operator]


@given(event=events, version=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_events_pickle_in_every_version(event: fastcoord.Event, version: int) -> None:
    restored = pickle.loads(pickle.dumps(event, version))
    assert type(restored) is type(event)
    assert restored == event
    assert reference.encode_event(plain(restored), "fastcoord-1") == reference.encode_event(
        plain(event), "fastcoord-1"
    )


@given(event=events)
def test_copied_event_is_same(event: fastcoord.Event) -> None:
    assert copy.copy(event) == event
    assert copy.deepcopy(event) == event


@given(event=events)
def test_repr_recreates_event(event: fastcoord.Event) -> None:
    assert eval(repr(event), vars(fastcoord).copy()) == event


@given(event=events)
def test_builtins_survive_json(event: fastcoord.Event) -> None:
    described = json.loads(json.dumps(fastcoord.to_builtins(event)))
    assert fastcoord.from_builtins(described) == event


@given(event=events)
def test_match_binds_event_fields(event: fastcoord.Event) -> None:
    name = type(event).__name__
    fields = POSITIONAL[name]
    for patterns in (
        ", ".join(f"got_{field}" for field in fields),
        ", ".join(f"{field}=got_{field}" for field in fields),
    ):
        captured = "".join(f"got_{field}, " for field in fields)
        source = f"match event:\n case {name}({patterns}):\n  found = ({captured})"
        names = {**vars(fastcoord), "event": event}
        exec(source, names)
        assert names["found"] == _values(event)


@given(event=events)
def test_match_distinguishes_event_types(event: fastcoord.Event) -> None:
    matching = [name for name in POSITIONAL if isinstance(event, getattr(fastcoord, name))]
    assert matching == [type(event).__name__]


@given(event=events, name=st.sampled_from(["account_id", "unheard_of"]))
def test_events_are_immutable(event: fastcoord.Event, name: str) -> None:
    for field in {*POSITIONAL[type(event).__name__], name}:
        before = plain(event)
        with pytest.raises((AttributeError, TypeError)):
            setattr(event, field, 1)
        with pytest.raises((AttributeError, TypeError)):
            delattr(event, field)
        assert plain(event) == before


@given(first=strategies.EVENTS, second=strategies.EVENTS)
def test_second_init_changes_nothing(first: Any, second: Any) -> None:
    event = event_of(first)
    values = _values(event_of([first[0], second[1]]) if first[0] == second[0] else event)
    if values:
        with pytest.raises(TypeError, match="immutable"):
            event.__init__(*values)  # type: ignore[misc]
    assert plain(event) == first


def test_lists_are_copied_to_tuples() -> None:
    accounts = [1, 2]
    items: list[list[str | int]] = [["Domain", 5]]
    tokens = fastcoord.InvalidateAccessTokens(accounts)
    caches = fastcoord.CacheInvalidate(items)
    accounts.append(3)
    items[0][1] = 6
    items.clear()
    assert tokens.account_ids == (1, 2)
    assert caches.items == (("Domain", 5),)


def test_payload_is_copied_from_buffer() -> None:
    buffer = bytearray(b"before")
    events = [fastcoord.AppEvent(1, buffer), fastcoord.AppEvent(1, memoryview(buffer))]
    buffer[:] = b"after!"
    assert [event.payload for event in events] == [b"before", b"before"]
    assert {type(event.payload) for event in events} == {bytes}


def test_decoded_events_outlive_buffer() -> None:
    expected = [
        fastcoord.CalendarAlert(1, 2, None, "uid", "alert"),
        fastcoord.AppEvent(1, b"payload"),
    ]
    buffer = bytearray(fastcoord.encode_batch(expected, node_id=1, protocol="fastcoord-1"))
    batch = fastcoord.decode_batch(buffer, protocol="fastcoord-1")
    buffer[:] = b"\xff" * len(buffer)
    assert list(batch) == expected


def test_zero_recurrence_means_none() -> None:
    event = fastcoord.CalendarAlert(1, 2, 0, "uid", "alert")
    assert event.recurrence_id is None
    assert event == fastcoord.CalendarAlert(1, 2, None, "uid", "alert")
