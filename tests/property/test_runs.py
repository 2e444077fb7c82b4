"""Long runs of the most frequent events, alone and among others, encoded at once and in batches.

Such runs have their own compiled code in ``encode_batch`` and in the batcher, which must also split
them at its limit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from fastcoord.publishing.batcher import Batcher
from fastcoord.wire.sealed_batch import SealedBatch
from support.inputs import strategies
from support.oracles import reference
from support.oracles.comparison import assert_same_outcome, event_of
from support.receiving.arrival import assert_arrives_as_the_reference_reads_it

EDGES = sorted({(1 << bits) + change for bits in range(0, 65, 7) for change in (-1, 0)} | {1 << 63})


def _state_changes(chance: random.Random, count: int) -> list[reference.Event]:
    """Make changes of every encoded length, most of them short, as in real traffic."""

    def number(bits: int) -> int:
        if chance.random() < 0.2:
            return chance.choice(EDGES) % (1 << bits)
        return chance.getrandbits(chance.randint(1, bits))

    return [
        ["StateChange", {"account_id": number(32), "change_id": number(64), "types": number(64)}]
        for _ in range(count)
    ]


def _with_others(chance: random.Random, events: list[reference.Event]) -> list[reference.Event]:
    others: list[reference.Event] = [
        ["EmailPush", {"account_id": 1 << 31, "email_id": 127, "change_id": (1 << 64) - 1}],
        ["ReloadSettings", {}],
        ["InvalidateAccessTokens", {"account_ids": list(range(0, 1 << 31, 1 << 25))}],
        ["CalendarAlert", {"account_id": 1, "event_id": 2, "recurrence_id": -1, "uid": "é" * 30,
                           "alert_id": "a"}],
    ]  # fmt: skip
    return [
        event
        for change in events
        for event in ([change, chance.choice(others)] if chance.random() < 0.1 else [change])
    ]


@pytest.mark.parametrize("container", [list, tuple, iter], ids=["list", "tuple", "iterator"])
@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "mixed"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 1_500])
def test_run_of_changes_round_trips(
    count: int, mixed: bool, container: Callable[[Any], Iterable[fastcoord.Event]]
) -> None:
    chance = random.Random(count)
    events = _state_changes(chance, count)
    if mixed:
        events = _with_others(chance, events)
    made = container([event_of(event) for event in events])
    payload = fastcoord.encode_batch(made, node_id=300, protocol="stalwart-0.15")
    assert payload == reference.encode_batch(300, events, "stalwart-0.15")
    assert assert_same_outcome(payload, "stalwart-0.15").events == events
    assert_arrives_as_the_reference_reads_it(payload, "stalwart-0.15")
    assert_arrives_as_the_reference_reads_it(payload, "stalwart-0.15", in_batches=True)


@pytest.mark.parametrize("position", [0, 1, 63, 64, 65, 199])
@pytest.mark.parametrize(
    "other", [None, "StateChange", fastcoord.StateChange, fastcoord.QueueRefresh()], ids=repr
)
def test_non_event_in_run_is_refused(other: Any, position: int) -> None:
    events: list[Any] = [fastcoord.StateChange(1, 2, 3)] * 200
    events[position] = other
    with pytest.raises((TypeError, fastcoord.UnsupportedEvent)):
        fastcoord.encode_batch(events, node_id=1, protocol="stalwart-0.15")


def _batcher(protocol: str, limit: int, *, node_id: int = 300) -> Batcher:
    return Batcher(
        node_id=node_id,
        protocol=protocol,
        limit=limit,
        capacity=1 << 20,
        clock=lambda: 0.0,
        on_open=lambda: None,
        on_seal=lambda: None,
    )


def _publish(batcher: Batcher, calls: Iterable[Sequence[fastcoord.Event]]) -> list[SealedBatch]:
    for events in calls:
        prepared = batcher.prepare(events)
        assert batcher.add_from(prepared) == len(prepared)
    batcher.seal()
    return batcher.take(1 << 60)


def _members(events: Iterable[reference.Event]) -> list[Any]:
    """Return the members of all lists, which do not depend on how a list was split."""
    found: list[Any] = []
    for event_type, fields in events:
        members = fields.get("account_ids", fields.get("items"))
        if members:
            found += [(event_type, member) for member in members]
        else:
            found.append((event_type, fields))
    return found


def _check(
    batches: list[SealedBatch], events: list[reference.Event], protocol: str, limit: int
) -> None:
    found: list[reference.Event] = []
    offset = 0
    for batch in batches:
        assert len(batch.payload) <= limit
        node_id, held = reference.decode_batch(batch.payload, protocol)
        assert batch.payload == reference.encode_batch(node_id, held, protocol)
        assert (node_id, len(held), offset) == (300, batch.count, batch.offset)
        offset += batch.count
        found += held
    assert _members(found) == _members(events)


@pytest.mark.parametrize("limit", [34, 35, 40, 64, 100, 128, 333, 1_000, 16_384])
@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "mixed"])
def test_run_batches_keep_limit(mixed: bool, limit: int) -> None:
    chance = random.Random(limit)
    events = _state_changes(chance, 1_000)
    if mixed and limit >= 128:
        events = _with_others(chance, events)
    made = [event_of(event) for event in events]
    calls = []
    while made:
        size = chance.choice((1, 2, 5, 50, 400))
        calls.append(made[:size])
        made = made[size:]
    batcher = _batcher("stalwart-0.15", limit)
    _check(_publish(batcher, calls), events, "stalwart-0.15", limit)
    assert batcher.accepted == batcher.waiting


@pytest.mark.parametrize("protocol", reference.PROTOCOLS)
@given(data=st.data())
def test_any_batches_keep_limit(protocol: str, data: st.DataObject) -> None:
    limit = data.draw(st.one_of(st.integers(11, 64), st.integers(64, 1_000)))
    batcher = _batcher(protocol, limit)
    accepted: list[reference.Event] = []
    for events in data.draw(st.lists(st.lists(strategies.events(protocol), max_size=5))):
        made = [event_of(event) for event in events]
        sizes = [len(reference.encode_event(event, protocol)) for event in events]
        try:
            prepared = batcher.prepare(made)
        except fastcoord.EventTooLarge:
            assert max(sizes) > limit - 2
            continue
        assert batcher.add_from(prepared) == len(prepared)
        accepted += events
    batcher.seal()
    _check(batcher.take(1 << 60), accepted, protocol, limit)
