"""The gap detector of a node with a stream: it only finds out which peers are up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.receiving.gaps import GapDetector

if TYPE_CHECKING:
    from fastcoord.events import Cause, Missed

__all__ = ["StreamGapDetector"]


class StreamGapDetector(GapDetector):
    """Judge the heartbeats of all peers of one node.

    Heartbeats overtake the events, which come from the stream. So an offset shows no loss here.
    """

    def report(self, node_id: int | None, events: int | None, cause: Cause) -> None:
        """Report nothing: the stream has what is missing."""

    def count(self, missed: Missed) -> None:
        """Count nothing."""
