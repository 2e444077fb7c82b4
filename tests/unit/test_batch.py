"""A batch is an immutable sequence of events."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import fastcoord
from fastcoord import Batch, ReloadSettings, StateChange

EVENTS = [StateChange(1, 2, 3), ReloadSettings(), StateChange(1, 2, 3)]
DECODED = fastcoord.decode_batch(
    fastcoord.encode_batch(EVENTS, node_id=7, protocol="fastcoord-1"), protocol="fastcoord-1"
)
each_batch = pytest.mark.parametrize(
    "batch",
    [Batch(7, EVENTS), Batch(7, iter(EVENTS)), DECODED],
    ids=["made", "iterator", "decoded"],
)


class OwnBatch(Batch):
    """A subclass of a program."""


@each_batch
def test_batch_is_sequence(batch: Batch) -> None:
    assert (list(batch), list(reversed(batch))) == (EVENTS, EVENTS[::-1])
    assert (batch[0], batch[-2], batch[1:]) == (EVENTS[0], EVENTS[1], tuple(EVENTS[1:]))
    assert (batch.index(EVENTS[0], 1), batch.count(EVENTS[0])) == (2, 2)
    assert ReloadSettings() in batch
    assert StateChange(1, 2, 4) not in batch
    with pytest.raises(IndexError):
        _ = batch[3]


@each_batch
def test_batch_matches_sequence_pattern(batch: Batch) -> None:
    match batch:
        case [StateChange(change_id=first), *rest]:
            assert (first, rest) == (2, EVENTS[1:])
        case _:
            pytest.fail("a batch is no sequence to match")


@each_batch
def test_second_init_is_refused(batch: Batch) -> None:
    with pytest.raises(TypeError, match="immutable"):
        batch.__init__(8, [])  # type: ignore[misc]
    assert (batch.node_id, list(batch)) == (7, EVENTS)


@pytest.mark.parametrize("name", ["node_id", "events", "received_at", "sequence", "other"])
def test_batch_has_no_settable_attribute(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Batch(7, EVENTS), name, 1)


@pytest.mark.parametrize("kind", [Batch, OwnBatch])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))]
)
def test_copy_keeps_everything(kind: Any, copied: Any) -> None:
    batch = kind(7, EVENTS, 1.5, 9)
    again = copied(batch)
    assert type(again) is kind
    assert again == batch
    assert (again.received_at, again.sequence) == (1.5, 9)
