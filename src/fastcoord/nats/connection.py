"""One connection to one server: opened, used and closed once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from nats.aio.client import Client

from fastcoord._deadline import within
from fastcoord.errors import ConfigError, ConnectError
from fastcoord.nats.compat import check_installed, drop_transport, use_transport
from fastcoord.nats.failures import describe, explain
from fastcoord.nats.frames import compose
from fastcoord.nats.options import client_options
from fastcoord.nats.servers import Server, announced_servers
from fastcoord.nats.transport import MessageTransport
from fastcoord.wire.sealed_batch import SealedBatch

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.parser import MessageSink

__all__ = ["EVENTS_SID", "Connection", "ConnectionOwner", "Note"]

EVENTS_SID = 1
"""The subscription id of the events' subject; the owner chooses the others."""

MIN_MAX_PAYLOAD = 512
"""Bytes. A server with a smaller max_payload leaves no space for events beside the header."""

Note = Literal["resend", "goodbye", "hello"] | None
"""What the second header says of a batch."""


class ConnectionOwner(Protocol):
    """What a connection calls, always on the event loop."""

    def connection_writable(self) -> None:
        """The socket takes bytes again."""

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """The connection is gone; called once."""

    def connection_leaving(self, connection: Connection) -> None:
        """The server will shut down soon (lame-duck mode)."""

    def connection_servers(self, connection: Connection) -> None:
        """The server announced other members of its cluster."""

    def connection_refused(self, connection: Connection, reason: str) -> None:
        """The server refused an operation without closing the connection."""


class Connection:
    """One connection to one server.

    nats-py's client does the handshake, authentication and TLS, on a transport of ours; messages
    never pass through the client.

    :param config: the configuration.
    :param server: the server to connect to.
    :param sink: takes the messages.
    :param owner: is called when something happens to the connection.
    """

    def __init__(
        self, config: Config, server: Server, sink: MessageSink, owner: ConnectionOwner
    ) -> None:
        check_installed()
        self.server = server
        self._config = config
        self._owner = owner
        self._subject = config.cluster.subject.encode()
        self._is_up = False
        self._is_done = False
        self._is_client_started = False
        self._was_lost_early = False
        self._reason: str | None = None
        self._client = Client()
        self._transport = MessageTransport(
            sink,
            read_size=config.nats.capacity.read_buffer,
            demand_tls=config.nats.tls.enable or server.address.tls,
            on_lost=self._lost,
            on_writable=owner.connection_writable,
        )
        use_transport(self._client, self._transport)

    # ------------------------------------------------------------------------ opening

    async def open(self) -> None:
        """Connect, secure and authenticate, all within ``timeout.connection``.

        :raises ConnectError: with the reason, without the server's name.
        :raises TimeoutError: ``timeout.connection`` is over.
        """
        try:
            await within(self._open(), self._config.nats.timeout.connection)
            if self._was_lost_early:
                raise ConnectError(f"lost right after the handshake: {self._reason}")
        except BaseException:
            await self.close()
            raise
        self._is_up = True

    async def _open(self) -> None:
        options = client_options(self._config, f"nats://{self.server}", self.server.name)
        options["error_cb"] = self._on_error
        options["lame_duck_mode_cb"] = self._on_lame_duck
        options["discovered_server_cb"] = self._on_discovered
        try:
            await self._transport.dial(self.server.address.host, self.server.address.port)
            self._is_client_started = True
            await self._client.connect(**options)
        except (ConfigError, asyncio.CancelledError):
            raise
        except asyncio.TimeoutError as error:
            # Before Python 3.11 this was not yet the built-in one.
            raise TimeoutError("no answer from the server") from error
        except Exception as error:
            # Whatever the other end makes nats-py raise fails this attempt, not the supervisor.
            raise explain(error) from error
        if not self._client.is_connected:
            raise ConnectError(self._reason or "the server answered something that is not NATS")
        if self.max_payload < MIN_MAX_PAYLOAD:
            raise ConnectError(
                f"the server's max_payload of {self.max_payload} bytes is too small for batches:"
                f" at least {MIN_MAX_PAYLOAD} are needed"
            )
        self._transport.open_to_messages(self.max_payload)

    # ------------------------------------------------------------------------ using

    @property
    def max_payload(self) -> int:
        """The largest message that the server accepts, headers included, in bytes."""
        return int(self._client.max_payload)

    @property
    def is_up(self) -> bool:
        """Whether the connection is open and was not lost."""
        return self._is_up and not self._is_done

    @property
    def is_writable(self) -> bool:
        """Whether the socket takes more bytes now."""
        return self._transport.is_writable

    @property
    def last_activity(self) -> float:
        """When bytes were last read, or the write buffer last drained, on the loop's clock."""
        return self._transport.last_activity

    def subscribe(self, subject: str, sid: int) -> None:
        """Subscribe to a subject under a subscription id of the caller's choice."""
        self._transport.send(f"SUB {subject} {sid}\r\n".encode())

    def publish(
        self,
        incarnation: int,
        discarded: int,
        batches: list[SealedBatch],
        *,
        note: Note = None,
        answered: Callable[[], None] | None = None,
    ) -> int:
        """Send batches in their order.

        :param answered: called when the server has confirmed them.
        :return: how many bytes were written.
        """
        ping = answered is not None
        frames = compose(self._subject, incarnation, discarded, batches, note=note, ping=ping)
        self._transport.send(frames, answered)
        return len(frames)

    def publish_empty(
        self,
        payload: bytes,
        incarnation: int,
        offset: int,
        discarded: int,
        *,
        note: Note = None,
    ) -> None:
        """Send a batch without events: a heartbeat, a hello or a goodbye."""
        self.publish(incarnation, discarded, [SealedBatch(payload, offset, 0)], note=note)

    def publish_raw(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Send one message to another subject; neither subject may contain blanks."""
        words = b" ".join([b"PUB", subject, *([reply] if reply else []), b"%d" % len(payload)])
        self._transport.send(words + b"\r\n" + payload + b"\r\n")

    def ping(self, answered: Callable[[], None]) -> None:
        """Send a PING; call ``answered`` when the server has processed all that was sent before."""
        self._transport.ping(answered)

    def announced(self) -> list[Server]:
        """Return the servers that the cluster has announced on this connection."""
        return announced_servers(self._client.discovered_servers, self.server)

    # ------------------------------------------------------------------------ ending

    def abort(self, reason: str) -> None:
        """Drop the connection now; the owner is told ``reason``."""
        self._reason = reason
        self._transport.abort()
        if self._transport.is_closed:
            # asyncio reported the end before, so it will not report it again.
            self._lost(None)

    async def close(self) -> None:
        """Drop the connection and release everything it holds; the owner is not called."""
        self._is_done = True
        await self.release()

    async def release(self) -> None:
        """Release everything that a lost or dropped connection holds."""
        self._transport.abort()
        if self._is_client_started:
            await self._client.close()
        await self._transport.wait_closed()
        # The client and the transport refer to each other. Without that cycle both are freed at
        # once, with the memory that TLS has loaded, and not at the next garbage collection.
        drop_transport(self._client)

    def _lost(self, error: Exception | None) -> None:
        if self._is_done:
            return
        self._reason = self._reason or describe(error or self._client.last_error)
        if not self._is_up:
            # The owner does not use it yet: `open` raises.
            self._was_lost_early = True
            return
        self._is_done = True
        self._owner.connection_lost(self, self._reason)

    async def _on_error(self, error: Exception) -> None:
        if self._is_up and not self._is_done and "permissions violation" in str(error).lower():
            self._owner.connection_refused(self, describe(error))

    async def _on_lame_duck(self) -> None:
        if self.is_up:
            self._owner.connection_leaving(self)

    async def _on_discovered(self) -> None:
        if self.is_up:
            self._owner.connection_servers(self)
