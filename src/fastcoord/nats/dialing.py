"""Opens the connection to a server: over TCP, or to a bus in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from fastcoord.errors import ConnectError

if TYPE_CHECKING:
    from fastcoord.config import Config

__all__ = ["MEMORY_DOMAIN", "MemoryNetwork", "NodeId", "dial", "memory_networks", "prepare"]

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


async def dial(protocol: asyncio.BufferedProtocol, host: str, port: int, node_id: NodeId) -> None:
    """Connect ``protocol`` to a server.

    :param node_id: the id of the node that connects.
    :raises OSError: the connection cannot be opened.
    :raises ConnectError: the address is that of a bus in memory which is not in this process.
    """
    network = memory_networks.get(host)
    if network is not None:
        await network.dial(protocol, node_id, port)
    elif host.endswith(MEMORY_DOMAIN):
        raise ConnectError(
            "this is the address of a bus in memory, which has ended or belongs to another process:"
            " connect while its test runs, in the process of the test; other processes need a"
            " server (the fixture fastcoord_server)"
        )
    else:
        await asyncio.get_running_loop().create_connection(lambda: protocol, host, port)
