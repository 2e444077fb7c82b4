"""Reads how many bytes the operating system buffers for a socket."""

from __future__ import annotations

import array
import asyncio

try:
    import fcntl
    import termios
except ImportError:  # not a POSIX system
    READ_QUEUE = WRITE_QUEUE = 0
else:
    READ_QUEUE = termios.FIONREAD
    WRITE_QUEUE = termios.TIOCOUTQ

__all__ = ["unread_bytes", "unsent_bytes"]


def unread_bytes(transport: asyncio.BaseTransport) -> int:
    """Return how many received bytes were not read from the socket; 0 if that is unknown."""
    return queued(transport, READ_QUEUE)


def unsent_bytes(transport: asyncio.BaseTransport) -> int:
    """Return how many written bytes the other host has not acknowledged; 0 if unknown."""
    return queued(transport, WRITE_QUEUE)


def queued(transport: asyncio.BaseTransport, request: int) -> int:
    socket = transport.get_extra_info("socket")
    if not request or socket is None or socket.fileno() < 0:
        return 0
    count = array.array("i", [0])
    try:
        fcntl.ioctl(socket.fileno(), request, count)
    except OSError:  # this system has no such counter
        return 0
    return count[0]
