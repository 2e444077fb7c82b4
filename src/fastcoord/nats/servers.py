"""The servers that can be tried: those configured and those that the cluster announces."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.parse import ParseResult

    from fastcoord.config import Address

__all__ = ["Server", "announced_servers"]

HOST = re.compile(r"[0-9A-Za-z._:%-]{1,253}")


class Server:
    """A server that can be tried.

    :ivar address: host, port and whether TLS is demanded.
    :ivar name: the host name that its certificate must have, if that is not the address's host.
    :ivar announced: whether the cluster announced it; otherwise the configuration names it.
    :ivar payload_limits: ``max_payload`` of its first INFO, and of its last one for this user.
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


def announced_servers(uris: Iterable[ParseResult], server: Server) -> list[Server]:
    """Return the servers that ``server`` announced; entries that are not an address are skipped.

    :param uris: ``Client.discovered_servers`` of nats-py.
    """
    address = server.address
    found = []
    for uri in uris:
        try:
            host, port = uri.hostname, uri.port
        except ValueError:  # the port is not a number
            continue
        # A host from the network is connected to and logged, so its characters are checked.
        if host is None or not port or not HOST.fullmatch(host):
            continue
        # A certificate rarely names an IP address: the first server's name is valid for all.
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
