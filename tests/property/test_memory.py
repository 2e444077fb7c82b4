"""The compiled codec frees its memory, in particular after an error."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import fastcoord
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.ring import Ring
from support.inputs.malformed import MALFORMED
from support.inputs.vectors import CASES
from support.oracles.comparison import event_of

ROUNDS = 300
WARM_UP = 600
"""More rounds than the number of freed events whose memory is kept for reuse."""
NOISE = 8_000
"""Bytes that Python itself may keep between two measurements; the smallest leak is twice that."""


def _growth(work: Callable[[], object]) -> int:
    """Return the number of bytes that many rounds leave allocated."""
    tracemalloc.start()
    try:
        for _ in range(WARM_UP):
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


# CPython 3.15 keeps the ints up to 1,024 forever.
@pytest.mark.parametrize("number", [2048, 1 << 30, (1 << 60) - 1, 1 << 60, (1 << 64) - 1])
def test_read_ints_are_freed(number: int) -> None:
    """Python keeps an int forever whose reference count is that of an immortal object."""
    event = fastcoord.StateChange(1, number, 2)
    payload = fastcoord.encode_batch([event], node_id=1, protocol="stalwart-0.15")
    (decoded,) = fastcoord.decode_batch(payload, protocol="stalwart-0.15")
    for each in (event, decoded):
        assert [sys.getrefcount(each.change_id) for _ in range(100)] == [1] * 100
        read = [each.change_id for _ in range(100)]
        assert {sys.getrefcount(value) for value in read} <= {2, 3}


LARGEST = {protocol: max(
    (vector for vector, of in CASES if of == protocol), key=lambda vector: len(vector.payload)
) for protocol in ("stalwart-0.15", "stalwart-0.16")}  # fmt: skip


@pytest.mark.parametrize("protocol", LARGEST)
def test_decoding_leaks_nothing(protocol: str) -> None:
    payload = LARGEST[protocol].payload
    assert _growth(lambda: fastcoord.decode_batch(payload, protocol=protocol)) < NOISE


@pytest.mark.parametrize("protocol", LARGEST)
def test_encoding_leaks_nothing(protocol: str) -> None:
    events = [event_of(event) for event in LARGEST[protocol].events]
    assert _growth(lambda: fastcoord.encode_batch(events, node_id=1, protocol=protocol)) < NOISE


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_payload_leaks_nothing(what: str) -> None:
    malformed = MALFORMED[what]

    def refused() -> None:
        # `pytest.raises` would take most of the time.
        try:
            fastcoord.decode_batch(malformed.payload, protocol=malformed.protocol)
        except fastcoord.DecodeError:
            return
        raise AssertionError("malformed, and decoded")

    assert _growth(refused) < NOISE


def test_refused_batch_leaks_nothing() -> None:
    events = [fastcoord.CalendarAlert(1, 2, 3, "é" * 50, "a" * 50)] * 20

    def refused() -> None:
        with pytest.raises(fastcoord.UnsupportedEvent):
            fastcoord.encode_batch(
                [*events, fastcoord.QueueRefresh()], node_id=1, protocol="stalwart-0.15"
            )

    assert _growth(refused) < NOISE


def test_refused_event_leaks_nothing() -> None:
    def refused() -> None:
        with pytest.raises(ValueError, match="account_ids"):
            fastcoord.InvalidateAccessTokens([1000, 1 << 31, 1 << 32])
        with pytest.raises(ValueError, match="uid"):
            fastcoord.CalendarAlert(1, 2, 3, "a\ud800", "alert")
        with pytest.raises(TypeError, match="items"):
            fastcoord.CacheInvalidate([("Domain", 1 << 31), ("EmailNegative", 1, "9")])

    assert _growth(refused) < NOISE


@pytest.mark.parametrize("what", MALFORMED)
def test_failed_decode_releases_buffer(what: str) -> None:
    malformed = MALFORMED[what]
    buffer = bytearray(malformed.payload)
    with pytest.raises(fastcoord.DecodeError):
        fastcoord.decode_batch(buffer, protocol=malformed.protocol)
    buffer.append(0)  # raises BufferError while the buffer is still exported


def test_shared_objects_keep_refcounts() -> None:
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


@pytest.mark.parametrize("as_batches", [False, True])
def test_consumer_resumes_after_memory_error(as_batches: bool) -> None:
    """Payloads of these events look like events, so resuming within one would be noticed."""
    testcapi = pytest.importorskip("_testcapi")
    forged = fastcoord.encode_batch(
        [fastcoord.StateChange(666, 666, 666)] * 8, node_id=1, protocol="fastcoord-1"
    )
    events = [fastcoord.AppEvent(7, forged[1:])] * 20 + [fastcoord.StateChange(1, 2, 3)] * 20
    payload = fastcoord.encode_batch(events, node_id=1, protocol="fastcoord-1")
    failures = 0
    for spared in range(1, 60):
        ring = Ring(10, 1 << 20)
        cursor = Cursor(
            ring,
            protocol="fastcoord-1",
            kinds=None,
            as_notices=list,
            get_loop=None,  # type: ignore[arg-type]
        )
        ring.put_message(payload, 1, len(events), 1, 0.0)
        first = cursor.take_event()
        take = cursor.take_batch if as_batches else cursor.take_event
        taken: Any = None
        testcapi.set_nomemory(spared, spared + 1)
        try:
            taken = take()
        except MemoryError:
            failures += 1
        finally:
            testcapi.remove_mem_hooks()
        rest = [first, *(taken if as_batches and taken is not None else [taken] if taken else [])]
        while (event := cursor.take_event()) is not None:
            rest.append(event)
        assert rest == events
        assert (cursor.delivered, cursor.filtered, cursor.buffered) == (len(events), 0, 0)
    assert failures or not as_batches
