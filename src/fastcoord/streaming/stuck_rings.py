"""Rings whose program takes nothing: the feeds no longer wait for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.receiving.ring import Ring

__all__ = ["STUCK_AFTER", "StuckRings"]

STUCK_AFTER = 5.0
"""Seconds after which a feed no longer waits for a program that takes nothing."""


class StuckRings:
    """Find the rings from which nothing is taken."""

    def __init__(self) -> None:
        self._taken: dict[int, tuple[int, float]] = {}
        """For each ring: how many events were taken, and since when it has been this number."""

    def tick(self, rings: Iterable[Ring], now: float) -> None:
        """Mark the rings that are stuck now. Call this periodically.

        :param rings: all rings that are fed.
        :param now: the time in seconds.
        """
        taken: dict[int, tuple[int, float]] = {}
        for ring in rings:
            count = ring.arrived - ring.buffered - ring.missed
            before = self._taken.get(id(ring))
            if before is None or before[0] != count or not ring.buffered_messages:
                before = (count, now)
            taken[id(ring)] = before
            ring.is_stuck = now - before[1] > STUCK_AFTER
        self._taken = taken
