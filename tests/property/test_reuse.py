"""The memory of freed events is reused and never keeps their old values."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from support.inputs import strategies
from support.oracles import reference
from support.oracles.comparison import assert_as_good_as_new, event_of

POOLED = [fastcoord.StateChange, fastcoord.EmailPush]
WITH_REFERENCES = [
    fastcoord.CalendarAlert(1, 2, None, "uid \u00fc", "alert"),
    fastcoord.InvalidateAccessTokens([1, 300, 4_000_000_000]),
    fastcoord.InvalidateGroupwareCache([7]),
    fastcoord.CacheInvalidate([("Domain", 5), ("EmailNegative", 6, 7)]),
    fastcoord.AppEvent(3, b"payload"),
]


@pytest.mark.parametrize("protocol", reference.PROTOCOLS)
@given(data=st.data())
def test_decoded_event_equals_made_event(protocol: str, data: st.DataObject) -> None:
    node_id, events = data.draw(strategies.batches(protocol))
    # An event after the last one, so that the last is decoded like those in the middle.
    made = [event_of(event) for event in [*events, *events, *events]]
    payload = fastcoord.encode_batch(made, node_id=node_id, protocol=protocol)
    batch = fastcoord.decode_batch(payload, protocol=protocol)
    assert list(batch) == made
    assert_as_good_as_new(batch, made, protocol)


@pytest.mark.parametrize("kind", POOLED)
def test_uninitialised_events_leave_no_trace(kind: Any) -> None:
    good = kind(1, 2, 3)
    payload = fastcoord.encode_batch([good] * 50, node_id=1, protocol="stalwart-0.15")
    for _ in range(20):
        with pytest.raises(ValueError):
            kind(1, 2, -1)
    batch = fastcoord.decode_batch(payload, protocol="stalwart-0.15")
    assert_as_good_as_new(batch, [good] * 50, "stalwart-0.15")


@pytest.mark.parametrize("kind", POOLED)
def test_first_events_of_process_are_valid(kind: Any) -> None:
    payload = fastcoord.encode_batch([kind(1, 2, 3)] * 50, node_id=1, protocol="stalwart-0.15")
    script = f"""
import fastcoord
batch = fastcoord.decode_batch(bytes.fromhex({payload.hex()!r}), protocol="stalwart-0.15")
assert fastcoord.encode_batch(batch, node_id=1, protocol="stalwart-0.15").hex() == {payload.hex()!r}
assert set(batch) == {{fastcoord.{kind.__name__}(1, 2, 3)}}
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_kept_events_stay_unchanged() -> None:
    """The memory of freed events is reused; that of live events must not be."""
    kept: list[fastcoord.Event] = []
    expected: list[fastcoord.Event] = []
    for turn in range(50):
        made = [
            kind(number, turn * 1_000 + number, turn)
            for number in range(200)
            for kind in (fastcoord.StateChange, fastcoord.EmailPush)
        ]
        payload = fastcoord.encode_batch(made, node_id=1, protocol="stalwart-0.15")
        kept += list(fastcoord.decode_batch(payload, protocol="stalwart-0.15"))[turn::7]
        expected += made[turn::7]
    assert kept == expected


@pytest.mark.parametrize("kind", [fastcoord.StateChange, fastcoord.EmailPush])
def test_reused_event_has_own_fields(kind: Any) -> None:
    payload = fastcoord.encode_batch([kind(1, 2, 3)] * 5_000, node_id=1, protocol="stalwart-0.15")
    fastcoord.decode_batch(payload, protocol="stalwart-0.15")
    event = kind(4, 5, 6)
    assert [getattr(event, name) for name in kind.__match_args__] == [4, 5, 6]


@pytest.mark.parametrize("event", WITH_REFERENCES, ids=lambda event: type(event).__name__)
def test_reused_memory_keeps_no_reference(event: Any) -> None:
    payload = fastcoord.encode_batch([event] * 700, node_id=1, protocol="fastcoord-1")
    fields = [getattr(event, name) for name in event.__match_args__]
    objects = [field for field in fields if isinstance(field, str | tuple | bytes)]
    held = [sys.getrefcount(each) for each in objects]
    for _ in range(3):
        batch = fastcoord.decode_batch(payload, protocol="fastcoord-1")
        assert_as_good_as_new(batch, [event] * 700, "fastcoord-1")
        del batch
        # Constructed, not decoded: these events refer to the objects that they were given.
        made = [type(event)(*fields) for _ in range(700)]
        assert set(made) == {event}
        del made
    assert [sys.getrefcount(each) for each in objects] == held


PADDED_LISTS = {
    # Count and members; 83 80 00 and 85 00 are longer than the shortest form of 3 and 5.
    "count": ("tokens", "82000506", [5, 6]),
    "member": ("tokens", "0285800006", [5, 6]),
    "item": ("cache", "01028500", [("Domain", 5)]),
    "second": ("cache", "010a058600", [("EmailNegative", 5, 6)]),
}


@pytest.mark.parametrize("what", PADDED_LISTS)
def test_padded_list_is_written_shortest(what: str) -> None:
    name, written, members = PADDED_LISTS[what]
    kind = {"tokens": fastcoord.InvalidateAccessTokens, "cache": fastcoord.CacheInvalidate}[name]
    event = kind(members)  # type: ignore[operator]
    shortest = fastcoord.encode_batch([event], node_id=1, protocol="fastcoord-1")
    padded = shortest[:2] + bytes.fromhex(written)
    assert len(padded) > len(shortest)
    batch = fastcoord.decode_batch(padded, protocol="fastcoord-1")
    assert list(batch) == [event]
    assert fastcoord.encode_batch(batch, node_id=1, protocol="fastcoord-1") == shortest
