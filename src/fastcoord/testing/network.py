"""The connections of a bus in memory: which nodes may connect, and what holds their bytes back."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Literal

from fastcoord.errors import ConnectError, FastcoordError, StreamError
from fastcoord.testing.faults import Faults
from fastcoord.testing.line import Line
from fastcoord.testing.memory_server import MemoryServer
from fastcoord.testing.nodes import NodeOrId, node_id_of

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.testing.clock import Clock

__all__ = ["Network"]

CONNECTION_RETRY = 1.0
"""Seconds after which the system repeats an unanswered request for a connection."""


class Network:
    """What the transports of nodes see of a bus.

    :param name: the name of the server.
    :param clock: the clock of the nodes.
    :ivar is_running: whether the server runs.
    :ivar is_frozen: whether the server is suspended.
    :ivar is_refusing: whether new connections are refused.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.server = MemoryServer(name)
        self.lock = threading.RLock()
        self.is_running = False
        self.is_frozen = False
        self.is_refusing = False
        self._clock = clock
        self._pid = os.getpid()
        self._faults: defaultdict[int, Faults] = defaultdict(Faults)
        self._lines: list[Line] = []

    # --------------------------------------------------------------- called by the transport

    def prepare(self, config: Config) -> None:
        """Begin to run the event loop of a node by the clock.

        :raises ConnectError: this process is a forked child.
        :raises StreamError: the node has a stream.
        """
        if os.getpid() != self._pid:
            raise ConnectError(
                f"the bus in memory belongs to process {self._pid}: a forked process needs a server"
                " (the fixture fastcoord_server)"
            )
        if config.cluster.stream is not None:
            raise StreamError(
                "a bus in memory has no streams (cluster.stream): test this node on a server with"
                " JetStream, fastcoord.server.LocalServer(jetstream=True)"
            )
        self._clock.attach(asyncio.get_running_loop())

    async def dial(
        self, protocol: asyncio.BufferedProtocol, node_id: int | Literal["auto"], port: int
    ) -> None:
        """Connect a node.

        :raises ConnectionRefusedError: the server does not run, or refuses the connection.
        """
        if not isinstance(node_id, int):
            raise FastcoordError('node_id = "auto" has no id yet')
        faults = self._faults[node_id]
        while faults.is_stalled:  # noqa: ASYNC110
            await asyncio.sleep(CONNECTION_RETRY)
        if not self.is_running or self.is_refusing or faults.is_cut:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        line = Line(protocol, node_id, faults, self.server, self.lock)
        with self.lock:
            self._lines = [*self.open_lines(), line]
        line.open(is_stalled=self.is_frozen)

    # ---------------------------------------------------------------------- called by the bus

    def faults_of(self, node: NodeOrId) -> Faults:
        """Return the faults of a node, which the caller may change."""
        return self._faults[node_id_of(node)]

    def open_lines(self) -> list[Line]:
        """Return all open connections."""
        return [line for line in self._lines if line.is_open]

    def lines_of(self, node: NodeOrId) -> list[Line]:
        """Return the open connections of a node."""
        node_id = node_id_of(node)
        return [line for line in self.open_lines() if line.client.node_id == node_id]

    def update_stalls(self) -> None:
        """Hold the bytes of each connection back, or deliver them, as its faults say."""
        for line in self.open_lines():
            line.stall(self.is_frozen or self._faults[line.client.node_id].is_stalled)
