"""The reference codec on batches that Stalwart wrote, and on malformed payloads made by hand."""

from __future__ import annotations

import pytest

from support.inputs.malformed import MALFORMED
from support.inputs.vectors import CASE_NAMES, CASES, VECTORS, Vector
from support.oracles import reference


@pytest.mark.parametrize(("vector", "protocol"), CASES, ids=CASE_NAMES)
def test_reference_decodes_vectors(vector: Vector, protocol: str) -> None:
    assert reference.decode_batch(vector.payload, protocol) == (vector.node_id, vector.events)


@pytest.mark.parametrize(("vector", "protocol"), CASES, ids=CASE_NAMES)
def test_reference_encodes_vectors(vector: Vector, protocol: str) -> None:
    assert reference.encode_batch(vector.node_id, vector.events, protocol) == vector.payload


def test_vectors_use_every_event() -> None:
    for protocol in ("stalwart-0.15", "stalwart-0.16"):
        used = {
            event_type
            for vector in VECTORS
            if protocol in vector.protocols
            for event_type, _ in vector.events
        }
        assert used == reference.event_types(protocol)


def test_vectors_use_every_marker() -> None:
    used = {
        item[0] for vector in VECTORS for _, fields in vector.events
        for item in fields.get("items", ())
    }  # fmt: skip
    assert used == set(reference.CACHE_MARKERS)


@pytest.mark.parametrize("what", MALFORMED)
def test_reference_names_malformed_byte(what: str) -> None:
    malformed = MALFORMED[what]
    with pytest.raises(reference.MalformedBatch) as caught:
        reference.decode_batch(malformed.payload, malformed.protocol)
    assert caught.value.offset == malformed.offset
    assert caught.value.node_id == malformed.node_id
    assert len(caught.value.decoded) == malformed.decoded


def test_reference_accepts_padding() -> None:
    payload = bytes.fromhex("818000 07 8280808000")
    assert reference.decode_batch(payload, "stalwart-0.15") == (
        1,
        [["ReloadPushServers", {"account_id": 2}]],
    )


def test_reference_accepts_empty_batch() -> None:
    assert reference.decode_batch(b"\x00", "stalwart-0.15") == (0, [])
