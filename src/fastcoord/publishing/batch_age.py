"""How long accepted events have waited for a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.publishing.batcher import Batcher

__all__ = ["BatchAge"]


class BatchAge:
    """Discard events that have waited longer than ``cluster.max-age`` for a connection.

    :param batcher: holds the batches.
    :param max_age: seconds.
    :param clock: the clock of the batcher, in seconds.
    """

    def __init__(self, batcher: Batcher, max_age: float, clock: Callable[[], float]) -> None:
        self._batcher = batcher
        self._max_age = max_age
        self._clock = clock
        self._waiting_since = clock()
        """When the last connection stopped taking batches. The age of batches that were accepted
        before is counted from this time."""

    def restart(self) -> None:
        """Count the age of all present batches from now on: the connection takes none from now."""
        self._waiting_since = self._clock()

    def discard_expired(self) -> int:
        """Discard the events that have waited too long.

        :return: how many events were discarded.
        """
        deadline = self._clock() - self._max_age
        if self._waiting_since >= deadline:
            return 0
        return self._batcher.discard_before(deadline)

    def seconds_to_expiry(self) -> float:
        """Return how long the oldest batch that no connection has taken may still wait."""
        batcher = self._batcher
        now = accepted_at = self._clock()
        if batcher.queue:
            accepted_at = batcher.queue[0].accepted_at
        elif batcher.open_count:
            accepted_at = batcher.opened_at
        return max(accepted_at, self._waiting_since) + self._max_age - now
