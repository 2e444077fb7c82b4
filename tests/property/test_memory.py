"""The compiled codec gives back what it takes, in particular where it fails halfway."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable

import pytest

import fastcoord
from comparison import event_of
from malformed import MALFORMED
from stalwart_vectors import CASES

ROUNDS = 300
NOISE = 8_000
"""Bytes that Python itself may keep between two looks; the smallest leak would be twice that."""


def _growth(work: Callable[[], object]) -> int:
    """Count the bytes that many rounds leave behind."""
    tracemalloc.start()
    try:
        for _ in range(20):
            work()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(ROUNDS):
            work()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


LARGEST = {protocol: max(
    (vector for vector, of in CASES if of == protocol), key=lambda vector: len(vector.payload)
) for protocol in ("stalwart-0.15", "stalwart-0.16")}  # fmt: skip


@pytest.mark.parametrize("protocol", LARGEST)
def test_decoding_leaves_nothing_behind(protocol: str) -> None:
    payload = LARGEST[protocol].payload
    assert _growth(lambda: fastcoord.decode_batch(payload, protocol=protocol)) < NOISE


@pytest.mark.parametrize("protocol", LARGEST)
def test_encoding_leaves_nothing_behind(protocol: str) -> None:
    events = [event_of(event) for event in LARGEST[protocol].events]
    assert _growth(lambda: fastcoord.encode_batch(events, node_id=1, protocol=protocol)) < NOISE


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_payload_leaves_nothing_behind(what: str) -> None:
    malformed = MALFORMED[what]

    def refused() -> None:
        with pytest.raises(fastcoord.DecodeError):
            fastcoord.decode_batch(malformed.payload, protocol=malformed.protocol)

    assert _growth(refused) < NOISE


def test_an_event_refused_among_good_ones_leaves_nothing_behind() -> None:
    events = [fastcoord.CalendarAlert(1, 2, 3, "é" * 50, "a" * 50)] * 20

    def refused() -> None:
        with pytest.raises(fastcoord.UnsupportedEvent):
            fastcoord.encode_batch(
                [*events, fastcoord.QueueRefresh()], node_id=1, protocol="stalwart-0.15"
            )

    assert _growth(refused) < NOISE


def test_an_event_that_is_refused_leaves_nothing_behind() -> None:
    def refused() -> None:
        with pytest.raises(ValueError, match="account_ids"):
            fastcoord.InvalidateAccessTokens([1000, 1 << 31, 1 << 32])
        with pytest.raises(ValueError, match="uid"):
            fastcoord.CalendarAlert(1, 2, 3, "a\ud800", "alert")
        with pytest.raises(TypeError, match="items"):
            fastcoord.CacheInvalidate([("Domain", 1 << 31), ("EmailNegative", 1, "9")])

    assert _growth(refused) < NOISE


@pytest.mark.parametrize("what", MALFORMED)
def test_a_buffer_is_released_even_after_an_error(what: str) -> None:
    malformed = MALFORMED[what]
    buffer = bytearray(malformed.payload)
    with pytest.raises(fastcoord.DecodeError):
        fastcoord.decode_batch(buffer, protocol=malformed.protocol)
    buffer.append(0)  # raises BufferError while anyone still holds the buffer


def test_common_objects_keep_their_reference_counts() -> None:
    event = fastcoord.ReloadSettings()
    payload = fastcoord.encode_batch([event] * 10, node_id=1, protocol="stalwart-0.15")
    counted = [event, payload, fastcoord.ReloadSettings, fastcoord.StateChange, True, "Domain"]
    before = [sys.getrefcount(each) for each in counted]
    for _ in range(1_000):
        fastcoord.decode_batch(payload, protocol="stalwart-0.15")
        fastcoord.encode_batch([event], node_id=1, protocol="stalwart-0.15")
        fastcoord.CacheInvalidate([("Domain", 5)])
        fastcoord.MtaQueueStatus(True)
    after = [sys.getrefcount(each) for each in counted]
    assert all(abs(now - then) < 100 for now, then in zip(after, before, strict=True))
