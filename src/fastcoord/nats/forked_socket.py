"""Detach a forked child from the sockets of its parent."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["InheritedSocket"]


class InheritedSocket:
    """The socket of a transport, which a forked child inherits.

    :param transport: an open transport.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._fd: int = transport.get_extra_info("socket").fileno()
        self._identity = _identity(self._fd)

    def detach(self) -> None:
        """Replace the socket with a closed connection, in this process only.

        Afterwards asyncio in the child cannot write to the server. It also cannot remove the
        parent's socket from the selector, which child and parent share.
        """
        if _identity(self._fd) != self._identity:
            return  # the socket was closed, and its number may belong to another file
        one, other = socket.socketpair()
        with one, other:
            os.dup2(one.fileno(), self._fd, inheritable=False)


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
