"""The socket of one connection: a transport for nats-py that removes messages from the stream.

nats-py reads and writes through its public class ``Transport``. ``MessageTransport`` implements
that class as an ``asyncio.BufferedProtocol``, so that the event loop reads from the socket directly
into the parser's memory. The parser passes messages to the sink and all other lines to nats-py.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from nats.aio.transport import Transport

from fastcoord._forking import call_in_child
from fastcoord.errors import ConnectError, TlsError
from fastcoord.nats.dialing import dial
from fastcoord.nats.failures import NOT_TLS, server_error, tls_failure
from fastcoord.nats.forked_socket import InheritedSocket
from fastcoord.nats.info import checked_info, read_info
from fastcoord.nats.parser import FrameError, Parser
from fastcoord.nats.pending_pings import PendingPings
from fastcoord.nats.socket_queues import unread_bytes, unsent_bytes

if TYPE_CHECKING:
    from urllib.parse import ParseResult

    from fastcoord.nats.dialing import NodeId
    from fastcoord.nats.parser import MessageSink

__all__ = ["MessageTransport", "TransportOwner"]

PING = b"PING\r\n"
PONG = b"PONG\r\n"
INFO = b"INFO "
ERROR = b"-ERR"
MAX_CONTROL_BYTES = 1 << 20
"""The limit for all lines that nats-py has not read. A large cluster's INFO takes kilobytes."""


class TransportOwner(Protocol):
    """The callbacks of a transport. They are called on the event loop."""

    def transport_securing(self) -> None:
        """The TLS handshake begins."""

    def transport_authenticating(self) -> None:
        """The server's INFO was accepted. nats-py sends CONNECT next."""

    def transport_info(self, info: dict[str, object]) -> None:
        """The server sent INFO after the handshake."""

    def transport_error(self, line: bytes) -> bool:
        """The server sent ``-ERR``. Return true if nats-py must not receive the line."""

    def transport_lost(self, error: Exception | None) -> None:
        """The connection is lost. This is called once."""

    def transport_writable(self) -> None:
        """The write buffer has drained."""


class MessageTransport(asyncio.BufferedProtocol, Transport):
    """asyncio's protocol and nats-py's transport for one connection.

    :param sink: receives the messages. The time of each read is stored in its ``now`` (the loop's
        clock) and ``received_at`` (seconds since the epoch) before the bytes are parsed.
    :param read_size: the most bytes that one read of the socket returns.
    :param demand_tls: whether to refuse a server that does not offer TLS. Nothing is sent to it.
    :param owner: receives the callbacks.
    """

    def __init__(
        self, sink: MessageSink, *, read_size: int, demand_tls: bool, owner: TransportOwner
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        self._parser = Parser(sink, self._take_control, read_size=read_size)
        self._parser.is_bypassed = True
        self._demand_tls = demand_tls
        self._owner = owner
        self._socket: asyncio.Transport | None = None
        """asyncio's transport of the TCP connection. With TLS, it is below the TLS layer."""
        self._stream: asyncio.Transport | None = None
        self._is_aborted = False
        self.is_secure = False
        """Whether TLS is established."""
        self._inheritable: InheritedSocket | None = None
        self._is_inherited = False
        self._thread = threading.get_ident()
        self._saw_info = False
        self.info: dict[str, Any] = {}
        """The fields of the server's first INFO."""
        self.is_clustered = False
        """Whether the server is a member of a cluster of servers."""
        self._control = bytearray()
        self._readable: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._lost_because: Exception | None = None
        self._written = 0
        self.received = 0
        """The number of bytes read from the connection so far."""
        self.pings = PendingPings()
        self.is_writable = True
        self.last_activity = self._loop.time()
        """The loop's time when bytes were last read or the write buffer last drained."""

    async def dial(self, host: str, port: int, node_id: NodeId) -> None:
        """Open the TCP connection. This is called before nats-py calls ``connect``.

        :param node_id: the id of the node, for a bus in memory.
        :raises OSError: the TCP connection cannot be opened.
        """
        await dial(self, host, port, node_id)

    def open_to_messages(self, max_payload: int) -> None:
        """Pass messages to the sink from now on. This is called after the handshake."""
        self._parser.max_payload = max_payload
        self._parser.is_bypassed = False
        # nats-py has read the lines up to its PONG. Often the same read has also returned the INFO
        # that the server sends behind the PONG.
        rest = bytes(self._control)
        self._control.clear()
        try:
            self._parser.feed_bytes(rest)
        except FrameError as error:
            self._break_off(f"the server broke the protocol: {error}")

    # ------------------------------------------------------------------------- for the connection

    def send(self, data: bytes, answered: Callable[[], None] | None = None) -> None:
        """Write complete protocol frames.

        :param answered: called when the PONG arrives; ``None`` unless the bytes end with a PING.
        """
        # Between a failed write and `connection_lost`, asyncio would log a line for each write.
        if self._stream is not None and not self._stream.is_closing():
            self._written += len(data)
            if answered is not None:
                self.pings.add(answered, self._written)
            self._stream.write(data)

    def ping(self, answered: Callable[[], None]) -> None:
        """Write a PING; call ``answered`` when its PONG arrives."""
        self.send(PING, answered)

    @property
    def unread(self) -> int:
        """The number of bytes that were received and not read yet; 0 if that is unknown."""
        return 0 if self._socket is None else unread_bytes(self._socket)

    @property
    def sent(self) -> int:
        """A lower bound of the number of written bytes that the other host has acknowledged.

        With TLS, the system's queue also holds the bytes that TLS adds. Until that queue is empty,
        the result is too small.
        """
        if self._stream is None or self._socket is None:
            return 0
        waiting = self._stream.get_write_buffer_size() + unsent_bytes(self._socket)
        return self._written - waiting

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS session, or ``None`` without TLS."""
        return None if self._stream is None else self._stream.get_extra_info("ssl_object")

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed and the owner was called."""
        return self._closed.done()

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closing or closed."""
        return self._stream is not None and self._stream.is_closing()

    def abort(self) -> None:
        """Drop the connection and all unsent bytes, without waiting for the server."""
        if self._is_aborted:
            return
        self._is_aborted = True
        for stream in (self._stream, self._socket):
            if stream is not None:
                stream.abort()
        # During the TLS handshake, asyncio does not pass connection_lost on to this protocol.
        self._loop.call_soon(self.connection_lost, None)

    # ------------------------------------------------------------- asyncio's BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = self._stream = cast(asyncio.Transport, transport)
        if self._inheritable is None and transport.get_extra_info("socket") is not None:
            self._inheritable = InheritedSocket(transport)
            call_in_child(self)
        if self._is_aborted:
            self._socket.abort()

    def forked(self) -> None:
        """In a forked child, detach from the socket, which belongs to the parent."""
        self._is_inherited = True
        if self._inheritable is not None and self._socket is not None:
            self._inheritable.detach()
            if threading.get_ident() == self._thread:
                # The child may unwind and close the event loop: uvloop cannot be closed with an
                # open transport. Nothing is written, and the socket is no longer the parent's.
                self._socket.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._parser)

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        self._sink.now = self.last_activity = self._loop.time()
        self._sink.received_at = time.time()
        try:
            self._parser.feed(nbytes)
        except FrameError as error:
            # The rest of the stream cannot be parsed after this.
            self._break_off(f"the server broke the protocol: {error}")

    def eof_received(self) -> bool:
        # After EOF the server confirms nothing, but unsent bytes would keep the connection open.
        # The abort is scheduled, because a TLS layer closes the connection itself after this call.
        self._loop.call_soon(self.abort)
        return False

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        self.last_activity = self._loop.time()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._owner.transport_writable()

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
        self.pings.clear()
        if not self._is_inherited:
            self._owner.transport_lost(self._lost_because)

    def _break_off(self, reason: str) -> None:
        self._lost_because = ConnectionResetError(reason)
        self.abort()

    def _take_control(self, data: bytes) -> None:
        if not self._parser.is_bypassed and self._is_processed(data):
            return
        if len(self._control) + len(data) > MAX_CONTROL_BYTES:
            self._break_off("the server broke the protocol: it sent too many control bytes")
            return
        self._control += data
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _is_processed(self, line: bytes) -> bool:
        """Process a control line. Return true if nats-py must not receive it."""
        if line == PONG:
            return self.pings.take_pong()
        if line.startswith(ERROR):
            return self._owner.transport_error(line)
        if line.startswith(INFO):
            info = read_info(line)
            self._owner.transport_info(info)
            return not info  # nats-py would stop reading and log a traceback
        return False

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
            # Bytes that arrived unencrypted must not be parsed as bytes of the TLS stream.
            if not self._saw_info:
                raise TlsError(NOT_TLS)
            raise TlsError("the server sent more than its INFO before TLS was established")
        if self._is_aborted or self._closed.done():
            # asyncio would wait for a loss that was reported before. Until Python 3.12, `wait_for`
            # drops the cancellation of an attempt if INFO arrives in the same iteration.
            raise self._lost_because or ConnectionAbortedError("the connection was dropped")
        self._owner.transport_securing()
        host = uri if isinstance(uri, str) else uri.hostname
        try:
            secured = await self._loop.start_tls(
                self._stream,
                self,
                ssl_context,
                server_hostname=host,
                ssl_handshake_timeout=connect_timeout,
            )
        except OSError as error:
            raise tls_failure(error, host) from error
        if secured is None:
            raise tls_failure(None, host)
        self._stream = secured
        self.is_secure = True
        if self._is_aborted:
            secured.abort()
        if self._saw_info:
            self._owner.transport_authenticating()

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
        if not self._saw_info:
            if not line.startswith(INFO):
                raise ConnectError(
                    server_error(line)
                    if line.startswith(ERROR)
                    else "the server's first line is not INFO: check that it is a NATS server"
                )
            self._saw_info = True
            # INFO is checked before CONNECT is written, so that no credentials are sent to a server
            # without the demanded TLS.
            self.info = read_info(line)
            self.is_clustered = "cluster" in self.info
            line, starts_tls = checked_info(
                line, demand_tls=self._demand_tls, is_secure=self.is_secure
            )
            if not starts_tls:
                self._owner.transport_authenticating()
        return line

    async def _wait_readable(self) -> None:
        self._readable = self._loop.create_future()
        await self._readable

    def write(self, payload: bytes) -> None:
        self.send(payload)
        if payload == PING and not self._parser.is_bypassed:
            self.pings.add(None, self._written)

    def writelines(self, payload: list[bytes]) -> None:
        # Many small writes cost more than this copy, especially since CPython 3.12.
        self.send(b"".join(payload))

    async def drain(self) -> None:
        if self.is_writable or self._closed.done():
            return
        if self._drained is None or self._drained.done():
            self._drained = self._loop.create_future()
        await self._drained

    async def wait_closed(self) -> None:
        if self._is_aborted:
            await asyncio.shield(self._closed)

    def close(self) -> None:
        self.abort()

    def at_eof(self) -> bool:
        return self._closed.done() and not self._control

    def __bool__(self) -> bool:
        return True
