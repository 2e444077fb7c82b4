"""A limit on how often something is done."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Allow ``rate`` uses a second on average, and at most ``burst`` at once.

    :param rate: uses a second.
    :param burst: the most uses after a pause.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at: float | None = None
        self.refused = 0
        """How many uses were refused so far."""

    def take(self, now: float) -> bool:
        """Use one token, and return whether there was one.

        :param now: the time in seconds, on any clock that does not go back.
        """
        if self._filled_at is not None:
            grown = max(0.0, now - self._filled_at) * self._rate
            self._tokens = min(self._burst, self._tokens + grown)
        self._filled_at = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        return True
