"""Batches that were dropped as ahead, and whose predecessors are never stored."""

from __future__ import annotations

from typing import Any

import pytest

from fastcoord import Missed
from fastcoord.streaming.waiting_runs import ENDED_AFTER, SETTLED_AFTER, WaitingRuns
from support.receiving.stream_reading import PEER, Reading


class History:
    is_up = True


class State:
    history = History()


@pytest.mark.parametrize("is_up", [True, False])
@pytest.mark.parametrize("stores", [True, False])
def test_missing_batch_is_reported(is_up: bool, stores: bool) -> None:
    reading = Reading()
    peers: dict[int, Any] = {PEER: State()} if is_up else {}
    waiting = WaitingRuns(reading.feed.runs, peers)
    reading.store(0)
    reading.store(2)
    assert waiting.tick(0.0) == []
    reading.store(3)
    assert waiting.tick(SETTLED_AFTER - 1) == []
    if stores:
        # It is not under way any more, so the sender does not wait for batch 1.
        reading.store(4)
    assert waiting.tick(ENDED_AFTER - 1) == []
    # A sender that is up and stores nothing else will store batch 1 first.
    expected = [] if is_up and not stores else [Missed(PEER, 4 if stores else 3, "gap")]
    assert waiting.tick(ENDED_AFTER) == expected
    assert waiting.tick(ENDED_AFTER + 1) == []


def test_stored_predecessor_ends_wait() -> None:
    reading = Reading()
    waiting = WaitingRuns(reading.feed.runs, {})
    reading.store(0)
    reading.store(2)
    assert waiting.tick(0.0) == []
    for offset in (1, 2):
        reading.store(offset)
    assert waiting.tick(ENDED_AFTER) == []
    assert reading.feed.runs.waiting == set()
