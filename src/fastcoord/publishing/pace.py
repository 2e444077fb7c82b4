"""The time between two messages with events, for Stalwart nodes that subscribe anew after each.

Stalwart 0.14 and 0.15 drop their subscription after each message and subscribe again. They lose
every message that arrives in between. Pace leaves them this time, counted from the confirmation of
a message: if the server or the network is slow, messages must not catch up with each other.
"""

from __future__ import annotations

__all__ = ["DEFAULT_PACE", "SECONDS_PER_EVENT", "SECONDS_PRESENT", "Pace"]

DEFAULT_PACE = 0.020
"""Seconds between two messages, beside the time for the events of the first one."""

SECONDS_PER_EVENT = 30e-6
"""The time that a Stalwart node needs for each event, with a reserve."""

SECONDS_PRESENT = 600.0
"""How long a Stalwart node counts as present after its last message."""

PACED_PROTOCOL = "stalwart-0.15"


class Pace:
    """Decide when the next message with events may be sent.

    The clock is that of the caller, in seconds.

    :param seconds: ``cluster.pace``: the time between two messages, ``0`` to wait never, ``None``
        to wait while a Stalwart node of version 0.14 or 0.15 is present.
    :param protocol: the protocol of the cluster.
    """

    def __init__(self, seconds: float | None, protocol: str) -> None:
        self._is_automatic = seconds is None
        self._seconds = DEFAULT_PACE if seconds is None else seconds
        self._can_begin = self._is_automatic and protocol == PACED_PROTOCOL
        self.is_on = not self._is_automatic and self._seconds > 0
        """Whether messages must wait now."""
        self.ready_at = 0.0
        """When the next message may be sent, if the last one is confirmed."""
        self._distance = 0.0

    @property
    def can_begin(self) -> bool:
        """Whether a Stalwart node that publishes makes messages wait."""
        return self._can_begin

    @property
    def seconds(self) -> float:
        """The time between two messages now; 0 if no message waits."""
        return self._seconds if self.is_on else 0.0

    def update(self, stalwart_received_at: float | None, now: float) -> bool:
        """Begin or end waiting.

        :param stalwart_received_at: when the last message of a Stalwart node arrived.
        :return: whether messages begin to wait now.
        """
        if not self._can_begin:
            return False
        was_on = self.is_on
        self.is_on = (
            stalwart_received_at is not None and now - stalwart_received_at <= SECONDS_PRESENT
        )
        return self.is_on and not was_on

    def sent(self, events: int, now: float) -> None:
        """Note that a message with this many events was sent."""
        self._distance = self._seconds + events * SECONDS_PER_EVENT
        # A message without events must not shorten the time for the events of the last one.
        self.ready_at = max(self.ready_at, now + self._distance)

    def confirmed(self, now: float) -> None:
        """Note that the last message was confirmed.

        It may have been delayed on its way, so the next one must not follow earlier than this.
        """
        self.ready_at = max(self.ready_at, now + self._distance)
