"""Ports that stay reserved while no server listens on them."""

from __future__ import annotations

import socket

__all__ = ["reserve"]


def reserve(host: str, port: int = 0) -> socket.socket:
    """Bind a port without listening on it.

    The kernel gives a bound port to nobody who asks for any port, and refuses connections to it. On
    Linux a server can still bind it, because neither socket listens and both may be reused.

    :param host: the IP address.
    :param port: the port; 0 chooses a free one.
    :return: the socket; closing it ends the reservation.
    :raises OSError: the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reservation = socket.socket(family)
    try:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind((host, port))
    except BaseException:
        reservation.close()
        raise
    return reservation
