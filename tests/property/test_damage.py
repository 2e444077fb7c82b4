"""Every truncation and every changed byte of Stalwart's batches, decoded by both codecs.

Both must find the same events before the damage, and either no error or an error at the same
offset. Larger batches are sampled with a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from support.inputs.vectors import CASE_NAMES, CASES, Vector
from support.oracles import reference
from support.oracles.comparison import Outcome, assert_same_outcome, by_reference, decode, event_of

SMALL = 64
"""Payloads up to this size are tried with every other value at every position."""
CHANGES_OF_A_LARGE_PAYLOAD = 60

every_case = pytest.mark.parametrize(("vector", "protocol"), CASES, ids=CASE_NAMES)


@every_case
def test_every_truncation_matches_reference(vector: Vector, protocol: str) -> None:
    events = tuple(event_of(event) for event in vector.events)
    for end, expected in _truncations(vector, protocol):
        cut = vector.payload[:end]
        before = events[: len(expected.events)]
        found = decode(cut, protocol)
        assert found == (expected.node_id, before, expected.offset), f"{protocol} {cut.hex()}"


def _truncations(vector: Vector, protocol: str) -> Iterator[tuple[int, Outcome]]:
    """Yield each length with the result of the reference.

    The result of a batch cut within event n is events 0 to n - 1, followed by the result of a batch
    of that cut event alone, because decoding keeps no state between events. So the reference never
    decodes the events before the cut again, and a large payload takes seconds instead of minutes.
    """
    node_id = reference.encode_integer(vector.node_id, 16)
    for end in range(len(node_id)):
        yield end, by_reference(vector.payload[:end], protocol)
    start = len(node_id)
    for index, event in enumerate(vector.events):
        before = vector.events[:index]
        yield start, Outcome(vector.node_id, before, None)
        written = reference.encode_event(event, protocol)
        for size in range(1, len(written)):
            cut = by_reference(node_id + written[:size], protocol)
            assert cut.events == []
            assert cut.offset is not None
            offset = cut.offset - len(node_id) + start
            yield start + size, Outcome(vector.node_id, before, offset)
        start += len(written)
    assert start == len(vector.payload)
    yield start, Outcome(vector.node_id, vector.events, None)


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
