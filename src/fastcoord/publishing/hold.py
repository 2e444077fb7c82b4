"""Hold events after an outage until the peers have reconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Hold"]

HEARTBEATS_UNTIL_DOWN = 3
LONGEST_RECONNECT_PAUSE = 5.0
"""The most seconds that a running peer needs to reconnect: the longest backoff plus the time to
connect."""


class Hold:
    """Limits how long events are held after an outage.

    After an outage the peers reconnect one by one. A peer misses every event that is sent before it
    has subscribed again. So the sender holds its events until it has received every peer that was
    up. If a peer does not come back, the hold ends when the peer counts as down or when the oldest
    event is about to expire.

    :param heartbeat: the heartbeat of the cluster, in seconds.
    :param on_expired: called when the limit is reached.
    """

    def __init__(self, heartbeat: float, on_expired: Callable[[], None]) -> None:
        self._max_seconds = max(HEARTBEATS_UNTIL_DOWN * heartbeat, LONGEST_RECONNECT_PAUSE)
        self._on_expired = on_expired
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at: float | None = None

    def begin(self, seconds_to_expiry: float) -> bool:
        """Start the hold.

        :param seconds_to_expiry: how long the oldest event may still wait.
        :return: whether events must be held; ``False`` if they may not wait.
        """
        self.cancel()
        seconds = min(self._max_seconds, seconds_to_expiry)
        if seconds <= 0:
            return False
        self._ends_at = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._on_expired)
        return True

    def cancel(self) -> None:
        """End the hold without calling ``on_expired``."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._ends_at = None

    def check(self, now: float) -> None:
        """Call ``on_expired`` if the limit has passed.

        The timer does this as well, but an exception may have stopped the timer.
        """
        if self._ends_at is not None and now > self._ends_at:
            self._on_expired()
