"""The socket of one connection, as a protocol of asyncio.

The event loop reads from the socket directly into the parser's memory. The parser passes messages
to the sink and all other lines to a subclass.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from fastcoord._forking import call_in_child
from fastcoord.nats.forked_socket import InheritedSocket
from fastcoord.nats.parser import FrameError, Parser
from fastcoord.nats.pending_pings import PendingPings
from fastcoord.nats.socket_queues import unread_bytes, unsent_bytes

if TYPE_CHECKING:
    from fastcoord.nats.parser import MessageSink

__all__ = ["PING", "SocketOwner", "SocketProtocol"]

PING = b"PING\r\n"


class SocketOwner(Protocol):
    """The callbacks of a socket. They are called on the event loop."""

    def transport_lost(self, error: Exception | None) -> None:
        """The connection is lost. This is called once."""

    def transport_writable(self) -> None:
        """The write buffer has drained."""


class SocketProtocol(asyncio.BufferedProtocol):
    """Read from one socket into a parser, and write to it.

    :param sink: receives the messages. The time of each read is stored in its ``now`` (the loop's
        clock) and ``received_at`` (seconds since the epoch) before the bytes are parsed.
    :param read_size: the most bytes that one read of the socket returns.
    :param owner: receives the callbacks.
    """

    def __init__(self, sink: MessageSink, *, read_size: int, owner: SocketOwner) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        self._parser = Parser(sink, self._take_control, read_size=read_size)
        self._socket_owner = owner
        self._socket: asyncio.Transport | None = None
        """asyncio's transport of the TCP connection. With TLS, it is below the TLS layer."""
        self._stream: asyncio.Transport | None = None
        self._is_aborted = False
        self._inheritable: InheritedSocket | None = None
        self._is_inherited = False
        self._thread = threading.get_ident()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._lost_because: Exception | None = None
        self._written = 0
        self.received = 0
        """The number of bytes read from the connection so far."""
        self.pings = PendingPings()
        self.is_writable = True
        self.last_activity = self._loop.time()
        """The loop's time when bytes were last read or the write buffer last drained."""

    # ------------------------------------------------------------------ for the subclass

    def _take_control(self, data: bytes) -> None:
        """Process a control line."""
        raise NotImplementedError

    def _ended(self) -> None:
        """The connection is closed. The owner is called next."""

    def _drained(self) -> None:
        """The write buffer has drained. The owner is called next."""

    def _break_off(self, reason: str) -> None:
        """Drop the connection, because the server has broken the protocol."""
        self._lost_because = ConnectionResetError(f"the server broke the protocol: {reason}")
        self.abort()

    # ------------------------------------------------------------------ for the connection

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
            self._break_off(str(error))

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
        self._drained()
        self._socket_owner.transport_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closed.done():
            return
        if self._lost_because is None:
            self._lost_because = exc
        self._closed.set_result(None)
        self.is_writable = False
        self._ended()
        self.pings.clear()
        if not self._is_inherited:
            self._socket_owner.transport_lost(self._lost_because)
