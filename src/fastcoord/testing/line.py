"""The connection between a node and the server of a bus, with delays and stalls."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import deque
from collections.abc import Callable

from fastcoord.testing.faults import Faults
from fastcoord.testing.memory_server import MemoryServer, ServerClient
from fastcoord.testing.transport import MemoryTransport

__all__ = ["Line"]

END = b""
"""In a channel: the sender has closed the connection behind the bytes before."""


class Channel:
    """One direction of a connection. Bytes arrive in their order, after the delay.

    It is used on the event loop of the node only.

    :param deliver: called with bytes that arrive, and with ``END``.
    """

    def __init__(self, faults: Faults, deliver: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._deliver = deliver
        self._queue: deque[tuple[float, bytes]] = deque()
        self._run_soon: asyncio.Handle | None = None
        self.is_stalled = False

    @property
    def size(self) -> int:
        """The number of bytes on the way."""
        return sum(len(data) for _, data in self._queue)

    def push(self, data: bytes) -> None:
        """Send bytes, or ``END``."""
        due = self._loop.time() + self._faults.delay
        if self._queue:
            due = max(due, self._queue[-1][0])
        self._queue.append((due, data))
        self.schedule()

    def clear(self) -> None:
        """Lose what is on the way."""
        self._queue.clear()

    def schedule(self) -> None:
        """Deliver what is due, in a later iteration of the event loop."""
        if self._run_soon is not None or not self._queue or self.is_stalled:
            return
        wait = self._queue[0][0] - self._loop.time()
        if wait > 0:
            self._run_soon = self._loop.call_later(wait, self._run)
        else:
            self._run_soon = self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._run_soon = None
        if self.is_stalled:
            return
        # Timers may fire up to the resolution of the clock early.
        now = self._loop.time() + 1e-6
        while self._queue and self._queue[0][0] <= now:
            pieces = []
            while self._queue and self._queue[0][0] <= now and self._queue[0][1]:
                pieces.append(self._queue.popleft()[1])
            if pieces:
                self._deliver(b"".join(pieces))
            elif self._queue:
                self._queue.popleft()
                self._deliver(END)
        self.schedule()


class Line:
    """One connection of a node. It is created on the event loop of the node.

    :param protocol: the protocol of the node.
    :param lock: protects the server, which nodes of several threads use.
    """

    def __init__(
        self,
        protocol: asyncio.BufferedProtocol,
        node_id: int,
        faults: Faults,
        server: MemoryServer,
        lock: threading.RLock,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._server = server
        self._lock = lock
        self._to_node = Channel(faults, self._arrive_at_node)
        self._to_server = Channel(faults, self._arrive_at_server)
        self._transport = MemoryTransport(protocol, self._write, self._closed_by_node)
        self.client = ServerClient(node_id, faults, self._send, self._end)
        self.is_open = True

    def open(self, *, is_stalled: bool) -> None:
        """Connect the node to the server."""
        self._to_node.is_stalled = self._to_server.is_stalled = is_stalled
        self._transport.connected()
        with self._lock:
            self._server.accept(self.client)

    # ------------------------------------------------------------------- called by a test

    def reset(self) -> None:
        """Lose the connection at once, with everything that is on the way. Any thread may call."""
        with self._lock:
            self._server.gone(self.client)
        self._call(self._reset)

    def close(self) -> None:
        """Close the connection as a server that ends. Any thread may call."""
        with self._lock:
            self._server.gone(self.client)
        self._call(self._to_node.push, END)

    def kill(self) -> None:
        """Close the connection as the system does when the process of a node is killed."""
        self._call(self._kill)

    def stall(self, is_stalled: bool) -> None:
        """Hold back all bytes, or deliver what was held back. Any thread may call."""
        self._call(self._stall, is_stalled)

    # ------------------------------------------------------------------------------ server

    def _send(self, data: bytes) -> None:
        self._call(self._to_node.push, data)

    def _end(self) -> None:
        self._call(self._to_node.push, END)

    # -------------------------------------------------------- on the event loop of the node

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the event loop of the node."""
        if threading.get_ident() == self._thread:
            if not self._loop.is_closed():
                function(*arguments)
            return
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The event loop of the node is closed, and the node with it.
            self.is_open = False

    def _write(self, data: bytes) -> None:
        if not self.is_open:
            return
        self._to_server.push(data)
        if self._to_server.is_stalled:
            self._transport.unsent(self._to_server.size)

    def _arrive_at_node(self, data: bytes) -> None:
        if data == END:
            self._transport.finish()
        elif self.is_open:
            self._transport.deliver(data)

    def _arrive_at_server(self, data: bytes) -> None:
        with self._lock:
            if data == END:
                self._server.gone(self.client)
            else:
                self._server.receive(self.client, data)

    def _closed_by_node(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._to_node.clear()
        if self._to_server.is_stalled:
            self._to_server.clear()
            self._to_server.is_stalled = False
        self._to_server.push(END)

    def _kill(self) -> None:
        # The node itself closes the transport soon. Nothing that it writes until then arrives.
        self._closed_by_node()

    def _reset(self) -> None:
        self.is_open = False
        self._to_node.clear()
        self._to_server.clear()
        self._transport.lose(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def _stall(self, is_stalled: bool) -> None:
        for channel in (self._to_server, self._to_node):
            channel.is_stalled = is_stalled
            channel.schedule()
        if not is_stalled:
            self._transport.unsent(0)
