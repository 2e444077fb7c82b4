"""Log lines about lost events: the first at once, then at most one a minute for each cause."""

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
    """Count missed and discarded events, and log them with a limited rate.

    :param name: the start of each log line, for example ``"node 1"``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._total: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._uncounted: set[str] = set()
        """The causes with a loss of an unknown number since their last line."""
        self._discarded: dict[str, tuple[int, int, str]] = {}
        """By cause: the number discarded since the last line, the level and the reason."""
        self._logged_at: dict[str, float] = {}
        self._overflowed = 0

    def by_cause(self, overflowed: int) -> dict[str, int]:
        """Return how many events were reported missing so far, by cause.

        :param overflowed: events dropped by all subscriptions so far.
        """
        return dict(self._total) | ({"overflow": overflowed} if overflowed else {})

    def unknown_by_cause(self) -> dict[str, int]:
        """Return how many losses of an unknown number were reported so far, by cause."""
        return dict(self._unknown)

    def note(self, missed: Missed) -> None:
        """Count one ``Missed``. Log it unless its cause was logged less than a minute ago."""
        if missed.events is None:
            self._unknown[missed.cause] += 1
            self._uncounted.add(missed.cause)
        else:
            self._total[missed.cause] += missed.events
            self._unlogged[missed.cause] += missed.events
        self._log(missed.cause)

    def discarded(self, events: int, cause: str, reason: str, level: int = logging.WARNING) -> None:
        """Log events that this node has discarded, unless the last line of the cause is too new.

        :param events: their number; 0 logs nothing.
        :param cause: the key for the rate of the lines.
        :param reason: the end of the line, after the number.
        :param level: one of ``logging``.
        """
        if events:
            before, _, _ = self._discarded.get(cause, (0, 0, ""))
            self._discarded[cause] = (before + events, level, reason)
            self._log_discarded(cause)

    def report(self, overflowed: int) -> None:
        """Log the events that were not logged yet and those that subscriptions dropped.

        Call this periodically. A cause still gets at most one line a minute.

        :param overflowed: events dropped by all subscriptions so far.
        """
        if overflowed > self._overflowed:
            self._unlogged["overflow"] += overflowed - self._overflowed
        self._overflowed = overflowed
        counted = {cause for cause, count in self._unlogged.items() if count}
        for cause in sorted(counted | self._uncounted):
            self._log(cause)
        for cause in tuple(self._discarded):
            self._log_discarded(cause)

    def _is_due(self, key: str) -> bool:
        """Return whether a line may be logged now. If so, the next one waits."""
        now = time.monotonic()
        logged_at = self._logged_at.get(key)
        if logged_at is not None and now - logged_at < SECONDS_BETWEEN_LINES:
            return False
        self._logged_at[key] = now
        return True

    def _log_discarded(self, cause: str) -> None:
        if self._is_due(f"discarded: {cause}"):
            events, level, reason = self._discarded.pop(cause)
            logger.log(level, "%s: %d events discarded: %s", self.name, events, reason)

    def _log(self, cause: str) -> None:
        if not self._is_due(cause):
            return
        count = self._unlogged.pop(cause, 0)
        number = str(count)
        if cause in self._uncounted:
            self._uncounted.discard(cause)
            number = f"at least {count}" if count else "an unknown number of"
        logger.warning("%s: %s events missed (%s)", self.name, number, cause)
