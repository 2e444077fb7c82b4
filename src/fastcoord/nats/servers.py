"""The servers to connect to: the configured ones, and those that a server announces."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from fastcoord.config import Address

__all__ = ["Server", "announced_servers"]

HOST = re.compile(r"[0-9A-Za-z._:%-]{1,253}")


class Server:
    """A server to connect to.

    :ivar address: host, port and whether TLS is demanded.
    :ivar name: the host name that the server's certificate must have; ``None`` for the host of
        ``address``.
    :ivar announced: whether another server has announced this one; otherwise it is configured.
    :ivar payload_limits: ``max_payload`` of the first and of the last INFO of a connection. They
        differ if the user or the account has its own limit.
    """

    __slots__ = ("address", "announced", "name", "payload_limits")

    def __init__(
        self, address: Address, *, name: str | None = None, announced: bool = False
    ) -> None:
        self.address = address
        self.name = name
        self.announced = announced
        self.payload_limits = (0, 0)

    def __str__(self) -> str:
        return str(self.address)


def announced_servers(urls: Iterable[str], server: Server) -> list[Server]:
    """Return the servers that ``server`` has announced; invalid addresses are skipped.

    :param urls: ``connect_urls`` of INFO: ``host:port`` each.
    """
    address = server.address
    found = []
    for url in urls:
        try:
            parts = urlsplit(f"//{url}")
            host, port = parts.hostname, parts.port
        except ValueError:  # the port is not a number, or a bracket is missing
            continue
        # The host comes from the network and is logged, so its characters are checked.
        if host is None or not port or not HOST.fullmatch(host):
            continue
        # Certificates rarely have IP addresses. If the address is one, the certificate must have
        # the name of the server that announced it.
        name = server.name or address.host
        found.append(
            Server(
                type(address)(host=host, port=port, tls=address.tls),
                name=name if is_ip_address(host) else None,
                announced=True,
            )
        )
    return found


def is_ip_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
