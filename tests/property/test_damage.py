"""Every truncation and every changed byte of Stalwart's batches, decoded by both codecs.

Both must find the same events before the damage, and either no error or an error at the same
offset. Larger batches are sampled with a fixed seed.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from support.inputs.vectors import CASE_NAMES, CASES, Vector
from support.oracles import reference
from support.oracles.comparison import assert_same_outcome, by_reference, decode, event_of

SMALL = 64
"""Payloads up to this size are tried with every other value at every position."""
CHANGES_OF_A_LARGE_PAYLOAD = 60
EVENTS_BEFORE_A_CUT = 4
"""Enough for each loop of the codec: the one for runs begins after three events of a kind."""

every_case = pytest.mark.parametrize(("vector", "protocol"), CASES, ids=CASE_NAMES)


class Truncation(NamedTuple):
    """The beginning of a payload, or of its last events, and the expected result."""

    payload: bytes
    node_id: int | None
    first: int
    end: int
    """The events from ``first`` to ``end`` are complete."""
    offset: int | None


@every_case
def test_every_truncation_matches_reference(vector: Vector, protocol: str) -> None:
    events = tuple(event_of(event) for event in vector.events)
    for cut, node_id, first, end, offset in _truncations(vector, protocol):
        found = decode(cut, protocol)
        assert found == (node_id, events[first:end], offset), f"{protocol} {cut.hex()}"


def _truncations(vector: Vector, protocol: str) -> Iterator[Truncation]:
    """Yield each length with the result of the reference.

    The result of a batch cut within event n is events 0 to n - 1, followed by the result of a batch
    of that cut event alone, because decoding keeps no state between events. So the reference reads
    only the cut event. The compiled codec decodes all events before the cut at the end and in the
    middle of each event, and the last few at every other cut.
    """
    prefix = reference.encode_integer(vector.node_id, 16)
    for end in range(len(prefix)):
        cut = vector.payload[:end]
        yield Truncation(cut, None, 0, 0, by_reference(cut, protocol).offset)
    written = [reference.encode_event(event, protocol) for event in vector.events]
    start = len(prefix)
    for index, event in enumerate(written):
        yield Truncation(vector.payload[:start], vector.node_id, 0, index, None)
        first = max(0, index - EVENTS_BEFORE_A_CUT)
        before = prefix + b"".join(written[first:index])
        for size, offset in enumerate(_offsets_of_cuts(event, vector.protocols[0]), start=1):
            cut = before + event[:size]
            yield Truncation(cut, vector.node_id, first, index, len(before) + offset)
            if size == len(event) // 2:
                cut = vector.payload[: start + size]
                yield Truncation(cut, vector.node_id, 0, index, start + offset)
        start += len(event)
    assert start == len(vector.payload)
    yield Truncation(vector.payload, vector.node_id, 0, len(written), None)


@functools.cache
def _offsets_of_cuts(event: bytes, protocol: str) -> list[int]:
    """Return the offset of the error for each number of bytes that are left of an event."""
    offsets = []
    for size in range(1, len(event)):
        alone = by_reference(b"\0" + event[:size], protocol)
        assert alone.events == []
        assert alone.offset is not None
        offsets.append(alone.offset - 1)
    return offsets


@every_case
def test_changed_byte_matches_reference(vector: Vector, protocol: str) -> None:
    for changed in _changes(vector):
        assert_same_outcome(changed, protocol)


def _changes(vector: Vector) -> Iterator[bytes]:
    size = len(vector.payload)
    if size <= SMALL:
        positions_and_values = [
            (position, value) for position in range(size) for value in range(256)
        ]
    else:
        chance = random.Random(vector.name)
        positions_and_values = [
            (chance.randrange(size), chance.randrange(256))
            for _ in range(CHANGES_OF_A_LARGE_PAYLOAD)
        ]
    for position, value in positions_and_values:
        if vector.payload[position] != value:
            changed = bytearray(vector.payload)
            changed[position] = value
            yield bytes(changed)


@every_case
def test_removed_byte_matches_reference(vector: Vector, protocol: str) -> None:
    payload = vector.payload
    positions: Sequence[int] = range(len(payload))
    if len(payload) > SMALL:
        positions = random.Random(vector.name).sample(positions, 20)
    for position in positions:
        assert_same_outcome(payload[:position] + payload[position + 1 :], protocol)
        doubled = payload[: position + 1] + payload[position:]
        assert_same_outcome(doubled, protocol)
