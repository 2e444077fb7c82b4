"""nats-py's transport for one connection, which removes the messages from the received bytes.

nats-py reads and writes through its public class ``Transport``. It receives the bytes of the
handshake, and afterwards the control lines that fastcoord does not process itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nats.aio.transport import Transport

from fastcoord.errors import ConnectError, TlsError
from fastcoord.nats.control_bytes import ControlBytes
from fastcoord.nats.failures import NOT_TLS, tls_failure
from fastcoord.nats.info import checked_info, read_info
from fastcoord.nats.parser import FrameError
from fastcoord.nats.socket_protocol import PING, SocketOwner, SocketProtocol

if TYPE_CHECKING:
    import ssl
    from urllib.parse import ParseResult

    from fastcoord.nats.parser import MessageSink

__all__ = ["MessageTransport", "TransportOwner"]

PONG = b"PONG\r\n"
INFO = b"INFO "
ERROR = b"-ERR"


class TransportOwner(SocketOwner, Protocol):
    """The callbacks of a transport. They are called on the event loop."""

    def transport_info(self, info: dict[str, Any]) -> None:
        """The server sent INFO after the handshake."""

    def transport_refusal(self, line: bytes) -> ConnectError:
        """The server answered the handshake with ``-ERR``. Return the exception for it."""

    def transport_error(self, line: bytes) -> None:
        """The server sent ``-ERR`` after the handshake."""


class MessageTransport(SocketProtocol, Transport):
    """The socket of one connection, and nats-py's transport on it.

    :param sink: receives the messages, as by ``SocketProtocol``.
    :param read_size: the most bytes that one read of the socket returns.
    :param demand_tls: whether to refuse a server that does not offer TLS. Nothing is sent to it.
    :param owner: receives the callbacks.
    """

    def __init__(
        self, sink: MessageSink, *, read_size: int, demand_tls: bool, owner: TransportOwner
    ) -> None:
        super().__init__(sink, read_size=read_size, owner=owner)
        self._parser.is_bypassed = True
        self._demand_tls = demand_tls
        self._owner = owner
        self.is_secure = False
        """Whether TLS is established."""
        self.step: Literal["greeting", "tls", "authenticating"] = "greeting"
        """The step of the handshake: INFO is awaited, TLS is established, or CONNECT is sent."""
        self._saw_info = False
        self.info: dict[str, Any] = {}
        """The fields of the server's first INFO."""
        self.is_clustered = False
        """Whether the server is a member of a cluster of servers."""
        self._control = ControlBytes()
        self._draining: asyncio.Future[None] | None = None

    def open_to_messages(self) -> None:
        """Pass messages to the sink from now on. This is called after the handshake."""
        self._parser.is_bypassed = False
        # nats-py has read the lines up to its PONG. Often the same read has also returned the INFO
        # that the server sends behind the PONG.
        try:
            self._parser.feed_bytes(self._control.take())
        except FrameError as error:
            self._break_off(str(error))

    # ------------------------------------------------------------------ SocketProtocol

    def _take_control(self, data: bytes) -> None:
        if not self._parser.is_bypassed and self._is_processed(data):
            return
        if not self._control.append(data):
            self._break_off("it sent too many control bytes")

    def _is_processed(self, line: bytes) -> bool:
        """Process a control line. Return true if nats-py must not receive it."""
        if line == PONG:
            return self.pings.take_pong()
        if line.startswith(ERROR):
            self._owner.transport_error(line)
        elif line.startswith(INFO):
            info = read_info(line)
            if info:
                self._owner.transport_info(info)
        else:
            return False
        return True

    def _ended(self) -> None:
        self._control.end()
        self._drained()

    def _drained(self) -> None:
        if self._draining is not None and not self._draining.done():
            self._draining.set_result(None)

    # ------------------------------------------------------------------ nats-py's Transport

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        if self._stream is None:
            raise ConnectionError("nats-py uses the transport before its TCP connection")

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        if self._stream is None:
            raise ConnectionError("nats-py uses the transport before its TCP connection")
        if self._control:
            # Bytes that arrived unencrypted must not be parsed as bytes of the TLS stream.
            if not self._saw_info:
                raise TlsError(NOT_TLS)
            raise TlsError("the server sent more than its INFO before TLS was established")
        if self._is_aborted or self._closed.done():
            # asyncio would wait for a loss that was reported before. Until Python 3.12, `wait_for`
            # drops the cancellation of an attempt if INFO arrives in the same iteration.
            raise self._lost_because or ConnectionAbortedError("the connection was dropped")
        self.step = "tls"
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
        self.step = "authenticating" if self._saw_info else "greeting"

    async def read(self, buffer_size: int) -> bytes:
        return await self._control.read()

    async def readline(self) -> bytes:
        line = await self._control.readline()
        if line is None:
            raise self._lost_because or ConnectionResetError(
                "the server closed the connection during the handshake"
            )
        if line.startswith(ERROR):
            # nats-py would raise the text of the server, which may repeat a password.
            raise self._owner.transport_refusal(line)
        return line if self._saw_info else self._greeting(line)

    def _greeting(self, line: bytes) -> bytes:
        """Check the first line of the server, and return the line for nats-py.

        It is checked before CONNECT is written, so that no credentials are sent to a server without
        the demanded TLS.
        """
        if not line.startswith(INFO):
            raise ConnectError(
                "the server's first line is not INFO: check that it is a NATS server"
            )
        self._saw_info = True
        self.info = read_info(line)
        self.is_clustered = "cluster" in self.info
        line, starts_tls = checked_info(line, demand_tls=self._demand_tls, is_secure=self.is_secure)
        if not starts_tls:
            self.step = "authenticating"
        return line

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
        if self._draining is None or self._draining.done():
            self._draining = self._loop.create_future()
        await self._draining

    async def wait_closed(self) -> None:
        if self._is_aborted:
            await asyncio.shield(self._closed)

    def close(self) -> None:
        self.abort()

    def at_eof(self) -> bool:
        return self._closed.done() and not self._control

    def __bool__(self) -> bool:
        return True
