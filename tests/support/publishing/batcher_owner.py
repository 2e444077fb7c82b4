"""A batcher without a node."""

from __future__ import annotations

from typing import Any

from fastcoord import Event, ReloadSettings
from fastcoord.publishing.batcher import Batcher

PROTOCOL = "stalwart-0.15"
ONE = ReloadSettings()


class BatcherOwner:
    """Counts the requests of a batcher to its owner."""

    def __init__(self, *, limit: int = 100, capacity: int = 10, node_id: int = 7) -> None:
        self.now = 0.0
        self.flushes = 0
        self.writes = 0
        self.batcher = Batcher(
            node_id=node_id,
            protocol=PROTOCOL,
            limit=limit,
            capacity=capacity,
            clock=lambda: self.now,
            on_open=self._schedule_flush,
            on_seal=self._request_write,
        )

    def _schedule_flush(self) -> None:
        self.flushes += 1

    def _request_write(self) -> None:
        self.writes += 1

    def publish(self, *events: Event) -> int:
        return self.batcher.add_from(self.batcher.prepare(events))

    def sealed(self, batches: int, events: int = 1) -> Batcher:
        """Publish and seal this many batches."""
        for second in range(batches):
            self.now = float(second)
            self.batcher.begin_flush()
            self.publish(*[ONE] * events)
            assert self.batcher.seal()
        return self.batcher


def offsets(batches: Any) -> list[int]:
    """Return the offsets of batches."""
    return [batch.offset for batch in batches]
