"""The compiled codec on batches that Stalwart wrote, and on malformed payloads made by hand."""

from __future__ import annotations

import pytest

import fastcoord
from support.inputs.malformed import MALFORMED
from support.inputs.vectors import CASE_NAMES, CASES, VECTORS, Vector
from support.oracles import reference
from support.oracles.comparison import event_of, plain

every_case = pytest.mark.parametrize(("vector", "protocol"), CASES, ids=CASE_NAMES)
every_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])


@every_case
def test_stalwart_vectors_decode(vector: Vector, protocol: str) -> None:
    batch = fastcoord.decode_batch(vector.payload, protocol=protocol)
    assert batch.node_id == vector.node_id
    assert [plain(event) for event in batch] == vector.events


@every_case
def test_stalwart_vectors_encode_exactly(vector: Vector, protocol: str) -> None:
    events = [event_of(event) for event in vector.events]
    payload = fastcoord.encode_batch(events, node_id=vector.node_id, protocol=protocol)
    assert payload == vector.payload


@every_vector
def test_stalwart_events_survive_fastcoord_1(vector: Vector) -> None:
    events = fastcoord.decode_batch(vector.payload, protocol=vector.protocols[0])
    payload = fastcoord.encode_batch(events, node_id=vector.node_id, protocol="fastcoord-1")
    assert payload == reference.encode_batch(vector.node_id, vector.events, "fastcoord-1")
    assert fastcoord.decode_batch(payload, protocol="fastcoord-1") == events


@every_vector
def test_builtins_match_vectors(vector: Vector) -> None:
    for event_type, fields in vector.events:
        described = {"type": event_type, **fields}
        event = fastcoord.from_builtins(described)
        assert type(event).__name__ == event_type
        assert fastcoord.to_builtins(event) == described
        assert _types_within(fastcoord.to_builtins(event)) == _types_within(described)


def _types_within(value: object) -> object:
    """Return the types within a value, because ``True`` equals 1."""
    if isinstance(value, dict):
        return {name: _types_within(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_types_within(member) for member in value]
    return type(value)


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_payload_names_byte(what: str) -> None:
    malformed = MALFORMED[what]
    with pytest.raises(fastcoord.DecodeError) as caught:
        fastcoord.decode_batch(malformed.payload, protocol=malformed.protocol)
    assert caught.value.offset == malformed.offset
    assert caught.value.node_id == malformed.node_id
    assert len(caught.value.decoded) == malformed.decoded
    assert f"at byte {malformed.offset}" in str(caught.value)


def test_empty_batch_round_trips() -> None:
    payload = fastcoord.encode_batch([], node_id=300, protocol="stalwart-0.15")
    assert payload == bytes.fromhex("ac02")
    batch = fastcoord.decode_batch(payload, protocol="stalwart-0.15")
    assert (batch.node_id, len(batch)) == (300, 0)


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_buffer_decodes(buffer: type) -> None:
    for vector in VECTORS:
        batch = fastcoord.decode_batch(buffer(vector.payload), protocol=vector.protocols[0])
        assert [plain(event) for event in batch] == vector.events


def test_stalwart_protocols_differ_in_two_tags() -> None:
    payload = bytes.fromhex("01 0d 0e")
    batch = fastcoord.decode_batch(payload, protocol="stalwart-1.0")
    assert list(batch) == [fastcoord.TaskQueueRefresh(), fastcoord.IndexQueueRefresh()]
    with pytest.raises(fastcoord.DecodeError, match="unknown tag 13 at byte 1"):
        fastcoord.decode_batch(payload, protocol="stalwart-0.16")
