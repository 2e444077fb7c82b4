"""The compiled codec compared with the reference, on generated batches and random bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from support.inputs import strategies
from support.oracles import reference
from support.oracles.comparison import assert_same_outcome, event_of, plain

every_protocol = pytest.mark.parametrize("protocol", reference.PROTOCOLS)


@every_protocol
@given(data=st.data())
def test_codecs_write_same_bytes(protocol: str, data: st.DataObject) -> None:
    node_id, events = data.draw(strategies.batches(protocol))
    made = [event_of(event) for event in events]
    payload = fastcoord.encode_batch(made, node_id=node_id, protocol=protocol)
    assert payload == reference.encode_batch(node_id, events, protocol)


@every_protocol
@given(data=st.data())
def test_batch_round_trips(protocol: str, data: st.DataObject) -> None:
    node_id, events = data.draw(strategies.batches(protocol))
    made = [event_of(event) for event in events]
    payload = fastcoord.encode_batch(made, node_id=node_id, protocol=protocol)
    batch = fastcoord.decode_batch(payload, protocol=protocol)
    assert batch.node_id == node_id
    assert list(batch) == made
    assert [plain(event) for event in batch] == events


@every_protocol
@given(data=st.data())
def test_codecs_agree_on_damage(protocol: str, data: st.DataObject) -> None:
    node_id, events = data.draw(strategies.batches(protocol))
    payload = bytearray(reference.encode_batch(node_id, events, protocol))
    start = data.draw(st.integers(0, len(payload)))
    end = data.draw(st.integers(start, min(start + 8, len(payload))))
    payload[start:end] = data.draw(st.binary(max_size=8))
    assert_same_outcome(bytes(payload), protocol)


@every_protocol
@given(payload=st.binary(max_size=200))
def test_codecs_agree_on_random_bytes(protocol: str, payload: bytes) -> None:
    assert_same_outcome(payload, protocol)


# Typical bytes of LEB128: few values, many continuations, the first and last of each group.
_INTEGER_BYTES = st.lists(
    st.sampled_from([0x00, 0x01, 0x02, 0x03, 0x04, 0x0F, 0x10, 0x7F, 0x80, 0x81, 0xFF]),
    min_size=1,
    max_size=14,
).map(bytes)


@given(
    before=_INTEGER_BYTES,
    tag=st.sampled_from([0, 2, 7]),
    fields=st.lists(_INTEGER_BYTES, max_size=4).map(b"".join),
    after=st.binary(max_size=10),
)
def test_codecs_agree_on_integers(before: bytes, tag: int, fields: bytes, after: bytes) -> None:
    """The rest of the payload matters: the codec reads words where eight bytes remain."""
    assert_same_outcome(before, "stalwart-0.15")
    assert_same_outcome(b"\x01" + bytes([tag]) + fields + after, "stalwart-0.15")


@every_protocol
@given(data=st.data())
def test_batches_compare_node_and_events(protocol: str, data: st.DataObject) -> None:
    first = data.draw(strategies.batches(protocol))
    second = data.draw(st.one_of(st.just(first), strategies.batches(protocol)))
    made = [
        fastcoord.decode_batch(reference.encode_batch(*batch, protocol), protocol=protocol)
        for batch in (first, second)
    ]
    assert (made[0] == made[1]) is (first == second)
    if first == second:
        assert hash(made[0]) == hash(made[1])
