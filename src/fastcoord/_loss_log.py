"""Losses in the log: loud at once, and never one line an event."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.events import Missed

__all__ = ["LossLog"]

SECONDS_BETWEEN_LINES = 60.0

logger = logging.getLogger("fastcoord")


class LossLog:
    """Count what was missed, and say it at once the first time, then at most once a minute a cause.

    :param name: who speaks, for example ``"node 1"``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._total: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}
        self._overflowed = 0

    def by_cause(self) -> dict[str, int]:
        """Return how many events were reported missing so far, by cause."""
        return dict(self._total)

    def note(self, missed: Missed) -> None:
        """Count one ``Missed`` that the numbering found."""
        self._total[missed.cause] += missed.events or 0
        # One of unknown number counts as one here, so that it is said at all.
        self._untold[missed.cause] += missed.events or 1
        self._say(missed.cause)

    def report(self, overflowed: int) -> None:
        """Say what is due, and what subscriptions have dropped since; call it now and then.

        :param overflowed: events dropped by all rings so far.
        """
        if overflowed > self._overflowed:
            self._untold["overflow"] += overflowed - self._overflowed
        self._overflowed = overflowed
        for cause in [cause for cause, count in self._untold.items() if count]:
            self._say(cause)

    def _say(self, cause: str) -> None:
        now = time.monotonic()
        told_at = self._told_at.get(cause)
        if told_at is not None and now - told_at < SECONDS_BETWEEN_LINES:
            return
        self._told_at[cause] = now
        logger.warning("%s: %d events missed (%s)", self._name, self._untold.pop(cause), cause)
