"""The servers to connect to: the configured ones, and those that a server announces."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from fastcoord.config import Address

__all__ = ["Server", "ServerList", "announced_servers"]

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


class ServerList:
    """The servers that a node may connect to.

    :param addresses: the configured addresses.
    """

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._configured = [Server(address) for address in addresses]
        self._announced: list[Server] = []

    def announce(self, servers: Iterable[Server]) -> None:
        """Replace the announced servers with these, and skip those that are configured."""
        known = {str(server) for server in self._configured}
        self._announced = []
        for server in servers:
            if str(server) not in known:
                known.add(str(server))
                self._announced.append(server)

    def others(self, server: Server) -> list[Server]:
        """Return the servers with another address."""
        every = [*self._configured, *self._announced]
        return [other for other in every if str(other) != str(server)]

    def shuffled(self, leaving: Server | None = None) -> list[Server]:
        """Return all servers in random order.

        :param leaving: a server that will shut down; it comes last.
        """
        servers = [*self._configured, *self._announced]
        random.shuffle(servers)
        if leaving is not None:
            servers.sort(key=lambda server: str(server) == str(leaving))
        return servers


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
