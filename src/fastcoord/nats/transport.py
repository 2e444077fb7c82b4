"""The socket of one connection: a transport for nats-py that removes messages from the stream.

nats-py reads and writes through its public ``Transport`` class. This one is an
``asyncio.BufferedProtocol``, so the socket is read directly into the parser's memory, in reads of
the configured size. Messages go from there to the sink; nats-py is given all other lines.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from nats.aio.transport import Transport

from fastcoord.errors import TlsError
from fastcoord.nats.parser import FrameError, Parser

if TYPE_CHECKING:
    from urllib.parse import ParseResult

    from fastcoord.nats.parser import MessageSink

__all__ = ["MessageTransport"]

PING = b"PING\r\n"
PONG = b"PONG\r\n"
INFO = b"INFO "
MAX_CONTROL_BYTES = 1 << 20
"""The limit for lines that nats-py has not read yet; a large cluster's INFO takes kilobytes."""


class MessageTransport(asyncio.BufferedProtocol, Transport):
    """asyncio's protocol and nats-py's transport for one connection.

    :param sink: takes the messages; before each read is parsed, the time of the read is stored in
        its ``now`` (the loop's clock) and ``received_at`` (seconds since the epoch).
    :param read_size: the most bytes that one read of the socket returns.
    :param demand_tls: refuse a server that does not offer TLS before anything is sent to it.
    :param on_lost: called once with the exception or ``None`` when the connection is gone.
    :param on_writable: called when the write buffer has drained.
    """

    def __init__(
        self,
        sink: MessageSink,
        *,
        read_size: int,
        demand_tls: bool,
        on_lost: Callable[[Exception | None], None],
        on_writable: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        self._parser = Parser(sink, self._take_control, read_size=read_size)
        self._parser.is_bypassed = True
        self._demand_tls = demand_tls
        self._on_lost = on_lost
        self._on_writable = on_writable
        self._stream: asyncio.Transport | None = None
        self._is_secure = False
        self._saw_info = False
        self._control = bytearray()
        self._readable: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._lost_because: Exception | None = None
        # One entry for each unanswered PING: what to call at its PONG. None: the PING is nats-py's.
        self._pings: deque[Callable[[], None] | None] = deque()
        self.is_writable = True
        self.last_activity = self._loop.time()
        """When bytes were last read, or the write buffer last drained, on the loop's clock."""

    async def dial(self, host: str, port: int) -> None:
        """Open the TCP connection; nats-py's own ``connect`` then finds it open.

        :raises OSError: as the system says why it cannot be opened.
        """
        await self._loop.create_connection(lambda: self, host, port)

    def open_to_messages(self, max_payload: int) -> None:
        """Start to remove messages from the stream; called when the handshake is done."""
        self._parser.max_payload = max_payload
        self._parser.is_bypassed = False

    # ------------------------------------------------------------------------- for the connection

    def send(self, data: bytes, answered: Callable[[], None] | None = None) -> None:
        """Write bytes that are whole protocol frames.

        :param answered: called at the PONG if the bytes end with a PING.
        """
        # asyncio logs a line for each write between a failed write and `connection_lost`.
        if self._stream is not None and not self._stream.is_closing():
            if answered is not None:
                self._pings.append(answered)
            self._stream.write(data)

    def ping(self, answered: Callable[[], None]) -> None:
        """Write a PING; call ``answered`` at its PONG."""
        if self._stream is not None and not self._stream.is_closing():
            self._pings.append(answered)
            self._stream.write(PING)

    @property
    def is_closed(self) -> bool:
        """Whether asyncio has called ``connection_lost``."""
        return self._closed.done()

    def abort(self) -> None:
        """Drop the connection now, and all bytes that were not sent."""
        if self._stream is not None:
            self._stream.abort()

    # ------------------------------------------------------------- asyncio's BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._parser)

    def buffer_updated(self, nbytes: int) -> None:
        self._sink.now = self.last_activity = self._loop.time()
        self._sink.received_at = time.time()
        try:
            self._parser.feed(nbytes)
        except FrameError as error:
            # The rest of the stream cannot be parsed after this.
            self._lost_because = ConnectionResetError(f"the server broke the protocol: {error}")
            self.abort()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        # A socket that drains its buffer is alive even if PONGs are late.
        self.last_activity = self._loop.time()
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
        if data == PONG and not self._parser.is_bypassed:
            answered = self._pings.popleft() if self._pings else None
            if answered is not None:
                answered()
                return
        if len(self._control) + len(data) > MAX_CONTROL_BYTES:
            self._lost_because = ConnectionResetError(
                "the server broke the protocol: it sent control lines without end"
            )
            self.abort()
            return
        self._control += data
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    # ------------------------------------------------------------------ nats-py's Transport

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        if self._stream is None:
            raise ConnectionError("dial() must be called before nats-py uses the transport")

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        if self._stream is None:
            raise ConnectionError("dial() must be called before nats-py uses the transport")
        if self._control:
            # Bytes that arrived in the clear must not be parsed as bytes of the TLS stream.
            raise TlsError("the server sent more than its INFO before TLS was established")
        secured = await self._loop.start_tls(
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
            return self._require_tls(line)
        return line

    async def _wait_readable(self) -> None:
        self._readable = self._loop.create_future()
        await self._readable

    def _require_tls(self, line: bytes) -> bytes:
        """Check the server's INFO against the configuration, before CONNECT is written.

        nats-py starts TLS only if the server requires it. Where the configuration demands TLS, a
        server that offers it is treated as one that requires it, and any other is refused.
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
        if payload == PING and not self._parser.is_bypassed:
            self._pings.append(None)
        self.send(payload)

    def writelines(self, payload: list[bytes]) -> None:
        # One write: many small ones cost more than the copy, most of all since CPython 3.12.
        self.send(b"".join(payload))

    async def drain(self) -> None:
        if self.is_writable or self._closed.done():
            return
        if self._drained is None or self._drained.done():
            self._drained = self._loop.create_future()
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
