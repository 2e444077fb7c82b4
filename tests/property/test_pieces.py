"""Batches that are split between their events, compared with the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcoord import decode_batch
from fastcoord.wire.pieces import split_payload
from support.inputs.strategies import batches
from support.oracles import reference

PROTOCOL = "fastcoord-1"


@given(batch=batches(PROTOCOL), limit=st.integers(1, 200))
def test_pieces_hold_all_events(batch: tuple[int, list[reference.Event]], limit: int) -> None:
    node_id, events = batch
    payload = reference.encode_batch(node_id, events, PROTOCOL)
    alone = [reference.encode_batch(node_id, [event], PROTOCOL) for event in events]
    place = 0
    before = 0
    for piece, count in split_payload(PROTOCOL, payload, limit):
        members = alone[place : place + count]
        if piece is None:
            assert count == 1
            assert len(members[0]) > limit
            before = 0
        else:
            prefix = len(reference.encode_batch(node_id, [], PROTOCOL))
            assert piece == members[0][:prefix] + b"".join(each[prefix:] for each in members)
            assert len(piece) <= limit
            assert len(decode_batch(piece, protocol=PROTOCOL)) == count
            # The former piece had no space for the first event of this one.
            assert not before or before + len(members[0]) - prefix > limit
            before = len(piece)
        place += count
    assert place == len(events)


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\x01\xff"])
def test_malformed_batch_is_not_split(payload: bytes) -> None:
    with pytest.raises(ValueError, match="batch"):
        split_payload(PROTOCOL, payload, 100)
