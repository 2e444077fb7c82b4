"""How many messages a consumer requests next, and of how many bytes. This module does no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fastcoord.streaming.feed import Feed
    from fastcoord.streaming.source import StreamSource

__all__ = ["Demand", "Request"]

UNREAD_DEMAND = 1024
"""The most messages that are requested at once while no ring is fed."""


class Request(NamedTuple):
    """A request for messages."""

    messages: int
    max_bytes: int
    """The server ends the request before a message that exceeds this sum; 0 is no limit."""


class Demand:
    """The requests of one consumer. They never ask for more than fits into every ring.

    A message may be larger than a request permits. It is then requested alone: if it fits into the
    free bytes of all rings, or else when they are empty. So a message that is larger than a ring is
    requested as well, and the ring reports it as missed.

    :param source: the limits of all consumers.
    """

    def __init__(self, source: StreamSource) -> None:
        self._source = source
        self.begin()

    def begin(self) -> None:
        """Forget the requests of an earlier consumer."""
        self._max_bytes = 0
        """Of the last request."""
        self._refused_at = -1
        """The number of the last delivery when a request was last ended by its bytes."""
        self._refused_bytes = 0
        """The next message is larger than this; 0 if nothing is known about it."""

    def next(self, feed: Feed, *, is_read: bool) -> Request | None:
        """Return the next request; ``None`` if none is needed, or the rings have no space for it.

        :param feed: the feed of the consumer.
        :param is_read: whether any ring is fed.
        """
        source, demand = self._source, feed.demand
        messages, size = feed.free()
        if feed.number != self._refused_at:
            self._refused_bytes = 0
        if self._refused_bytes:
            if demand or not messages:
                return None
            if size >= source.ring_bytes:
                return self._made(1, 0)
            return self._made(1, size) if size >= 2 * self._refused_bytes else None
        most = min(messages, source.max_demand)
        wanted = (most if is_read else min(most, UNREAD_DEMAND)) - demand
        unclaimed = size - feed.demand_bytes
        if wanted <= 0 or wanted < demand or (demand and unclaimed < size // 4):
            return None
        return self._made(wanted, max(1, min(source.max_demand_bytes, size // 2, unclaimed)))

    def _made(self, messages: int, max_bytes: int) -> Request:
        self._max_bytes = max_bytes
        return Request(messages, max_bytes)

    def refused(self, number: int) -> None:
        """Note that the server has ended a request because the next message exceeds its bytes.

        :param number: the number of the last delivery. If it is the same twice, nothing was
            delivered in between, so that the message does not fit into any such request.
        """
        if self._refused_at == number:
            self._refused_bytes = max(self._refused_bytes, self._max_bytes)
        self._refused_at = number
