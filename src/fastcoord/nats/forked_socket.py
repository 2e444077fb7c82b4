"""Detach a forked child from the sockets of its parent."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["InheritedSocket"]


class InheritedSocket:
    """The socket of a transport, as a child process may inherit it.

    :param transport: an open transport.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._fd: int = transport.get_extra_info("socket").fileno()
        self._identity = _identity(self._fd)

    def detach(self) -> None:
        """Put a closed connection in the place of the socket, in this process only.

        Whatever asyncio does with the descriptor, nothing is written to the server, and the
        selector, which child and parent share, keeps the parent's socket.
        """
        if _identity(self._fd) != self._identity:
            return  # it was closed, and the number may belong to another file
        one, other = socket.socketpair()
        with one, other:
            os.dup2(one.fileno(), self._fd, inheritable=False)


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
