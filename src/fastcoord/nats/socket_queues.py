"""Reads how many bytes the operating system buffers for a socket."""

from __future__ import annotations

import array
import asyncio
import contextlib
import sys

if sys.platform == "win32":
    READ_QUEUE = WRITE_QUEUE = 0
else:
    import fcntl
    import termios

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
    count = array.array("i", [0])
    if sys.platform != "win32" and socket is not None and socket.fileno() >= 0:
        # A system that has no such counter raises an exception.
        with contextlib.suppress(OSError):
            fcntl.ioctl(socket.fileno(), request, count)
    return count[0]
