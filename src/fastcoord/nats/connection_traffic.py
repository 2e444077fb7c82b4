"""What one connection has sent and received so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.nats.pending_pings import PendingPing
    from fastcoord.nats.transport import MessageTransport

__all__ = ["ConnectionTraffic"]


class ConnectionTraffic:
    """The counters and the state of the socket of a connection."""

    _transport: MessageTransport
    read_size: int
    """The most bytes that one read of the socket returns."""

    @property
    def is_writable(self) -> bool:
        """Whether the socket accepts more bytes now."""
        return self._transport.is_writable

    @property
    def last_activity(self) -> float:
        """The loop's time when bytes were last read or the write buffer last drained."""
        return self._transport.last_activity

    @property
    def oldest_ping(self) -> PendingPing | None:
        """The oldest PING that the server has not answered, or ``None``."""
        return self._transport.pings.oldest

    @property
    def sent(self) -> int:
        """A lower bound of the number of written bytes that the other host has acknowledged."""
        return self._transport.sent

    @property
    def received(self) -> int:
        """The number of bytes read from the socket so far."""
        return self._transport.received

    @property
    def unread(self) -> int:
        """The number of bytes that have arrived and were not read yet."""
        return self._transport.unread
