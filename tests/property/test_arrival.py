"""Received batches are counted, filtered and decoded as ``decode_batch`` and the reference do."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from support.inputs import strategies
from support.inputs.malformed import MALFORMED
from support.inputs.vectors import CASE_NAMES, CASES, Vector
from support.oracles import reference
from support.receiving.arrival import assert_arrives_as_the_reference_reads_it

every_protocol = pytest.mark.parametrize("protocol", reference.PROTOCOLS)
in_both_ways = pytest.mark.parametrize("in_batches", [False, True], ids=["events", "batches"])


@in_both_ways
@pytest.mark.parametrize(("vector", "protocol"), CASES, ids=CASE_NAMES)
def test_stalwart_vectors_arrive(vector: Vector, protocol: str, in_batches: bool) -> None:
    assert_arrives_as_the_reference_reads_it(vector.payload, protocol, in_batches=in_batches)


@in_both_ways
@pytest.mark.parametrize(("vector", "protocol"), CASES, ids=CASE_NAMES)
def test_damage_costs_only_later_events(vector: Vector, protocol: str, in_batches: bool) -> None:
    chance = random.Random(vector.name)
    for _ in range(10):
        changed = bytearray(vector.payload)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        assert_arrives_as_the_reference_reads_it(bytes(changed), protocol, in_batches=in_batches)
        cut = vector.payload[: chance.randrange(len(changed))]
        assert_arrives_as_the_reference_reads_it(cut, protocol, in_batches=in_batches)


@in_both_ways
@pytest.mark.parametrize("what", MALFORMED)
def test_events_before_damage_arrive(what: str, in_batches: bool) -> None:
    malformed = MALFORMED[what]
    assert_arrives_as_the_reference_reads_it(
        malformed.payload, malformed.protocol, in_batches=in_batches
    )


@every_protocol
@given(data=st.data())
def test_filter_passes_wanted_kinds(protocol: str, data: st.DataObject) -> None:
    node_id, events = data.draw(strategies.batches(protocol))
    names = data.draw(
        st.lists(st.sampled_from(sorted(reference.event_types("fastcoord-1"))), min_size=1)
    )
    payload = reference.encode_batch(node_id, events, protocol)
    kinds = [getattr(fastcoord, name) for name in names]
    for in_batches in (False, True):
        assert_arrives_as_the_reference_reads_it(
            payload, protocol, kinds=kinds, in_batches=in_batches
        )


@every_protocol
@given(payload=st.binary(max_size=100))
def test_random_bytes_match_reference(protocol: str, payload: bytes) -> None:
    assert_arrives_as_the_reference_reads_it(payload, protocol)
