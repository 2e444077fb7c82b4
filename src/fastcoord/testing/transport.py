"""A node's end of a connection in memory, as a transport of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["MemoryTransport"]

HIGH_WATER = 1 << 16


class MemoryTransport(asyncio.Transport):
    """Connect a protocol to functions instead of a socket.

    All methods are called on the event loop of the node.

    :param protocol: the protocol of the node.
    :param send: receives what the node writes.
    :param ended: called once when the node closes the transport.
    """

    def __init__(
        self,
        protocol: asyncio.BufferedProtocol,
        send: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._send = send
        self._ended = ended
        self._is_closing = False
        self._is_paused = False
        self._unsent = 0
        self._high_water = HIGH_WATER

    # ------------------------------------------------------------------ for the connection

    def connected(self) -> None:
        """Begin."""
        self._protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        """Pass bytes of the server to the protocol."""
        rest = memoryview(data)
        while rest and not self._is_closing:
            buffer = memoryview(self._protocol.get_buffer(len(rest)))
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            del buffer
            self._protocol.buffer_updated(count)
            rest = rest[count:]

    def unsent(self, size: int) -> None:
        """Report how many written bytes wait, because the connection does not take them."""
        self._unsent = size
        if size > self._high_water and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()
        elif self._is_paused and size <= self._high_water // 4:
            self._is_paused = False
            self._protocol.resume_writing()

    def finish(self) -> None:
        """Report that the server has closed the connection."""
        if not self._is_closing and not self._protocol.eof_received():
            self.abort()

    def lose(self, error: OSError) -> None:
        """Report that the connection is lost."""
        if not self._is_closing:
            self._is_closing = True
            self._protocol.connection_lost(error)

    # ------------------------------------------------------------------ for the protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing and data:
            self._send(bytes(data))

    def abort(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._ended()
            self._loop.call_soon(self._protocol.connection_lost, None)

    def close(self) -> None:
        self.abort()

    def is_closing(self) -> bool:
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._high_water // 4, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_water = HIGH_WATER if high is None else high

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def can_write_eof(self) -> bool:
        return False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol
