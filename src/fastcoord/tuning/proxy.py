"""A TCP proxy that cuts the connections of the publishers for an outage."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["OutageProxy"]

HOST = "127.0.0.1"


class Relay(asyncio.Protocol):
    """One side of a relayed connection.

    :param proxy: has the list of open connections.
    :param other: the side to which received bytes are written; ``None`` for the accepted side,
        which opens the other one.
    """

    def __init__(self, proxy: OutageProxy, other: Relay | None = None) -> None:
        self.proxy = proxy
        self.other = other
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.proxy.transports.add(self.transport)
        if self.other is None:
            self.proxy.accepted += 1
            self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        other = Relay(self.proxy, self)
        try:
            await loop.create_connection(lambda: other, *self.proxy.target)
        except OSError:
            self._close()
            return
        self.other = other
        assert other.transport is not None
        assert self.transport is not None
        if self.transport.is_closing():  # the outage has begun
            other._close()
            return
        for data in self._early:
            other.transport.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None:
            self.proxy.transports.discard(self.transport)
        if self.other is not None:
            self.other._close()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class OutageProxy:
    """Relay connections to one server; during an outage there are none.

    :param host: the host of the server.
    :param port: its port.

    :ivar accepted: the connections since the last call of :meth:`listen`.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.transports: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self.accepted = 0
        self._port = 0

    @property
    def address(self) -> str:
        """The address to connect to."""
        return f"{HOST}:{self._port}"

    async def listen(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self.accepted = 0
        self._server = await loop.create_server(lambda: Relay(self), HOST, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Close every connection, and refuse new ones until :meth:`listen`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self.transports):
            transport.abort()

    async def __aenter__(self) -> OutageProxy:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()
        await asyncio.sleep(0)  # lets the closed transports release their sockets
