"""The fast lane: a transport for nats-py that takes messages out of the stream before it.

nats-py reads and writes through its public ``Transport`` class. This one stands on
``asyncio.BufferedProtocol``, so the socket is read straight into the splitter's memory, in reads of
the configured size; messages go from there to the sink, and nats-py is given the other lines.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from nats.aio.transport import Transport

from fastcoord._splitter import FrameError, Splitter
from fastcoord.errors import TlsError

if TYPE_CHECKING:
    from urllib.parse import ParseResult

    from fastcoord._splitter import Sink

__all__ = ["Lane"]

PING = b"PING\r\n"
PONG = b"PONG\r\n"
INFO = b"INFO "
MOST_CONTROL_BYTES = 1 << 20
"""Of lines that nats-py has not read yet; the INFO of a large cluster takes some kilobytes."""


class Lane(asyncio.BufferedProtocol, Transport):
    """One connection, seen from both sides: asyncio's protocol and nats-py's transport.

    :param sink: takes the messages.
    :param read_size: how many bytes one read of the socket may bring.
    :param demand_tls: refuse a server that does not offer TLS, before anything is sent to it.
    :param before_read: called with no arguments before the bytes of a read are looked at.
    :param on_lost: called once with the reason, when the connection is gone.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        read_size: int,
        demand_tls: bool,
        before_read: Callable[[], None],
        on_lost: Callable[[Exception | None], None],
        on_writable: Callable[[], None],
    ) -> None:
        self._splitter = Splitter(sink, self._take_control, read_size=read_size)
        self._splitter.is_bypassed = True
        self._demand_tls = demand_tls
        self._before_read = before_read
        self._on_lost = on_lost
        self._on_writable = on_writable
        self._stream: asyncio.Transport | None = None
        self._is_secure = False
        self._saw_info = False
        self._control = bytearray()
        self._readable: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost_because: Exception | None = None
        # For each PING that was written and not answered: whom its PONG concerns. None is nats-py.
        self._pings: deque[Callable[[], None] | None] = deque()
        self.is_writable = True

    async def dial(self, host: str, port: int) -> None:
        """Open the TCP connection; nats-py's own ``connect`` then finds it open.

        :raises OSError: as the system says why it cannot be opened.
        """
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, host, port)

    def open_to_messages(self, max_payload: int) -> None:
        """Begin to take messages out of the stream: the handshake is over."""
        self._splitter.max_payload = max_payload
        self._splitter.is_bypassed = False

    # ------------------------------------------------------------------------- own side

    def send(self, data: bytes, answered: Callable[[], None] | None = None) -> None:
        """Write bytes that are whole protocol frames.

        :param answered: when they end with a PING, called at its PONG.
        """
        # asyncio logs a line for each write between a failed one and `connection_lost`.
        if self._stream is not None and not self._stream.is_closing():
            if answered is not None:
                self._pings.append(answered)
            self._stream.write(data)

    def ping(self, answered: Callable[[], None]) -> None:
        """Write a PING behind everything written before; call ``answered`` at its PONG."""
        if self._stream is not None and not self._stream.is_closing():
            self._pings.append(answered)
            self._stream.write(PING)

    @property
    def is_closed(self) -> bool:
        """Whether asyncio has said that the connection is gone."""
        return self._closed.done()

    def abort(self) -> None:
        """Drop the connection now, with whatever was not sent."""
        if self._stream is not None:
            self._stream.abort()

    @property
    def unanswered_pings(self) -> int:
        return len(self._pings)

    @property
    def write_buffer_size(self) -> int:
        return 0 if self._stream is None else self._stream.get_write_buffer_size()

    # --------------------------------------------------------------- the protocol of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._splitter)

    def buffer_updated(self, nbytes: int) -> None:
        self._before_read()
        try:
            self._splitter.feed(nbytes)
        except FrameError as error:
            # Whatever speaks at the other end, it is not NATS any more.
            self._lost_because = ConnectionResetError(f"the server broke the protocol: {error}")
            self.abort()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closed.done():
            return
        if self._lost_because is None:
            self._lost_because = exc
        self._closed.set_result(None)
        self.is_writable = False
        for waiter in (self._readable, self._drained):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        self._pings.clear()
        self._on_lost(self._lost_because)

    def _take_control(self, data: bytes) -> None:
        if data == PONG and not self._splitter.is_bypassed:
            answered = self._pings.popleft() if self._pings else None
            if answered is not None:
                answered()
                return
        if len(self._control) + len(data) > MOST_CONTROL_BYTES:
            self._lost_because = ConnectionResetError(
                "the server broke the protocol: it sends line upon line, or one without an end"
            )
            self.abort()
            return
        self._control += data
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    # --------------------------------------------------------------- the transport of nats-py

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        if self._stream is None:
            raise ConnectionError("the lane must be dialled before nats-py uses it")

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        if self._stream is None:
            raise ConnectionError("the lane must be dialled before nats-py uses it")
        if self._control:
            # Bytes that came in the clear must not be taken for bytes of the secured stream.
            raise TlsError("the server sent more than its INFO before TLS was established")
        secured = await asyncio.get_running_loop().start_tls(
            self._stream,
            self,
            ssl_context,
            server_hostname=uri if isinstance(uri, str) else uri.hostname,
            ssl_handshake_timeout=connect_timeout,
        )
        if secured is None:
            raise ConnectionResetError("the server closed the connection during the TLS handshake")
        self._stream = secured
        self._is_secure = True

    async def read(self, buffer_size: int) -> bytes:
        while not self._control:
            if self._closed.done():
                return b""
            await self._wait_readable()
        data = bytes(self._control)
        self._control.clear()
        return data

    async def readline(self) -> bytes:
        while b"\n" not in self._control:
            if self._closed.done():
                raise self._lost_because or ConnectionResetError(
                    "the server closed the connection during the handshake"
                )
            await self._wait_readable()
        size = self._control.index(b"\n") + 1
        line = bytes(self._control[:size])
        del self._control[:size]
        if not self._saw_info and line.startswith(INFO):
            self._saw_info = True
            return self._insist_on_tls(line)
        return line

    async def _wait_readable(self) -> None:
        self._readable = asyncio.get_running_loop().create_future()
        await self._readable

    def _insist_on_tls(self, line: bytes) -> bytes:
        """Hold the server's INFO against the configuration, before CONNECT is written.

        nats-py secures the connection only if the server says that it must. Where TLS is demanded,
        a server that merely offers it is taken at its offer, and one that does not is refused.
        """
        if not self._demand_tls or self._is_secure:
            return line
        try:
            info: dict[str, Any] = json.loads(line[len(INFO) :])
        except ValueError:
            raise ConnectionError("the server's INFO is not JSON") from None
        if not (info.get("tls_required") or info.get("tls_available")):
            raise TlsError("the server does not offer TLS, and tls.enable demands it")
        info["tls_required"] = True
        return INFO + json.dumps(info).encode() + b"\r\n"

    def write(self, payload: bytes) -> None:
        if payload == PING and not self._splitter.is_bypassed:
            self._pings.append(None)
        self.send(payload)

    def writelines(self, payload: list[bytes]) -> None:
        # Joined: many small writes cost more than one copy, and CPython 3.12 made them dearer.
        self.send(b"".join(payload))

    async def drain(self) -> None:
        if self.is_writable or self._closed.done():
            return
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()
        await self._drained

    async def wait_closed(self) -> None:
        if self._stream is not None:
            await asyncio.shield(self._closed)

    def close(self) -> None:
        self.abort()

    def at_eof(self) -> bool:
        return self._closed.done() and not self._control

    def __bool__(self) -> bool:
        return True
