"""Opens the connection to a server: over TCP, or to a bus in memory."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from fastcoord._deadline import within
from fastcoord.errors import ConnectError
from fastcoord.nats.failures import describe

if TYPE_CHECKING:
    from fastcoord.config import Config

__all__ = [
    "MEMORY_DOMAIN",
    "MemoryNetwork",
    "NodeId",
    "Target",
    "dial",
    "memory_networks",
    "prepare",
    "resolve",
]

NodeId: TypeAlias = int | Literal["auto"]

MEMORY_DOMAIN = ".fastcoord.invalid"
"""The end of the host names of buses in memory. No host of a real network has such a name."""


class MemoryNetwork(Protocol):
    """A bus in memory, to which nodes of this process connect without sockets."""

    def prepare(self, config: Config) -> None:
        """Called on the event loop of a node before the node is created.

        :raises FastcoordError: such a node cannot run on this bus.
        """

    async def dial(self, protocol: asyncio.BufferedProtocol, node_id: NodeId, port: int) -> None:
        """Open a connection and call ``connection_made`` of ``protocol``.

        :raises OSError: the connection cannot be opened.
        """


memory_networks: dict[str, MemoryNetwork] = {}
"""The buses in memory of this process, by host name."""


def prepare(config: Config) -> None:
    """Announce a node to the buses in memory that its configuration names."""
    if memory_networks:
        for host in {address.host for address in config.nats.address}:
            network = memory_networks.get(host)
            if network is not None:
                network.prepare(config)


class Target(NamedTuple):
    """A server's host and port, and the socket addresses of the host.

    :ivar addresses: results of ``getaddrinfo``; empty for a bus in memory.
    """

    host: str
    port: int
    addresses: list[Any]


async def resolve(host: str, port: int) -> Target:
    """Find the addresses of a host.

    :raises OSError: the host name has no address, or no name server answers.
    :raises ConnectError: the host is a bus in memory which is not in this process.
    """
    if host in memory_networks:
        return Target(host, port, [])
    if host.endswith(MEMORY_DOMAIN):
        raise ConnectError(
            "this is the address of a bus in memory, which has ended or belongs to another process:"
            " connect while its test runs, in the process of the test; other processes need a"
            " server (the fixture fastcoord_server)"
        )
    try:
        # This call does not block, because it reads numeric addresses only.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return Target(host, port, list(dict.fromkeys(found)))


async def dial(
    protocol: asyncio.BufferedProtocol, target: Target, node_id: NodeId, seconds: float
) -> None:
    """Connect ``protocol`` to a server.

    The addresses of a host are tried in their order. Each one gets an equal share of the remaining
    time, so that an address that does not answer leaves time for the others.

    :param node_id: the id of the node that connects.
    :param seconds: the time for all addresses together; the last one is not limited.
    :raises OSError: the connection cannot be opened.
    :raises ConnectError: no address of the host can be reached. The text has each reason.
    """
    network = memory_networks.get(target.host)
    if network is not None:
        await network.dial(protocol, node_id, target.port)
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    failures: list[str] = []
    for left in range(len(target.addresses), 0, -1):
        family, _, _, _, (host, port, *_) = target.addresses[-left]
        connecting = loop.create_connection(lambda: protocol, host, port, family=family)
        try:
            if left == 1:
                await connecting
            else:
                await within(connecting, (deadline - loop.time()) / left)
            return
        except OSError as error:  # includes TimeoutError
            if len(target.addresses) == 1:
                raise
            failures.append(f"{host}: {describe(error)}")
    raise ConnectError(", ".join(failures) or "the host name has no address")
