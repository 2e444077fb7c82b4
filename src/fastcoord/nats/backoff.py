"""The waits between attempts to connect."""

from __future__ import annotations

import random

__all__ = ["Backoff"]

SHORTEST_WAIT = 0.05
LONGEST_WAIT = 4.0
STABLE_AFTER = 4.0
"""Seconds that a connection must stay open before the backoff is reset to ``SHORTEST_WAIT``."""


class Backoff:
    """Exponential backoff with 50 to 100 % jitter, so that nodes do not reconnect together."""

    def __init__(self) -> None:
        self._attempts = 0
        self._connected_at = 0.0

    def connected(self, now: float) -> None:
        """Note the time of a new connection, in seconds."""
        self._connected_at = now

    def lost(self, now: float) -> None:
        """Begin with the shortest wait again if the lost connection was stable."""
        if now - self._connected_at >= STABLE_AFTER:
            self._attempts = 0

    def next(self) -> float:
        """Return the wait before the next attempt, in seconds."""
        longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(self._attempts, 20))
        self._attempts += 1
        return longest * random.uniform(0.5, 1.0)
