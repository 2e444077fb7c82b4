"""The PINGs of one connection that the server has not answered yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["PendingPing", "PendingPings"]


class PendingPing:
    """One unanswered PING.

    :ivar answered: called when the PONG arrives; ``None`` if nats-py has sent the PING.
    :ivar position: the number of bytes written to the connection up to the end of this PING.
    """

    __slots__ = ("answered", "position")

    def __init__(self, answered: Callable[[], None] | None, position: int) -> None:
        self.answered = answered
        self.position = position


class PendingPings:
    """A queue of unanswered PINGs. The server answers them in this order."""

    def __init__(self) -> None:
        self._queue: deque[PendingPing] = deque()

    @property
    def oldest(self) -> PendingPing | None:
        """The PING that the next PONG answers, or ``None``."""
        return self._queue[0] if self._queue else None

    def add(self, answered: Callable[[], None] | None, position: int) -> None:
        """Store a PING that was written."""
        self._queue.append(PendingPing(answered, position))

    def take_pong(self) -> bool:
        """Process one PONG.

        :return: whether it answers a PING of fastcoord, and not one of nats-py.
        """
        ping = self._queue.popleft() if self._queue else None
        if ping is None or ping.answered is None:
            return False
        ping.answered()
        return True

    def clear(self) -> None:
        """Drop all PINGs of a lost connection."""
        self._queue.clear()
