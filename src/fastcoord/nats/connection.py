"""One connection to one server: opened, used and closed once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fastcoord.errors import ConnectError
from fastcoord.nats.connection_traffic import ConnectionTraffic
from fastcoord.nats.failures import (
    describe,
    printable,
    refused_handshake,
    server_error,
)
from fastcoord.nats.handshake import Handshake
from fastcoord.nats.info import connect_urls_of, delivers_traced, max_payload_of
from fastcoord.nats.message_writer import MessageWriter, Note
from fastcoord.nats.options import has_login
from fastcoord.nats.payload_limit import PayloadLimit
from fastcoord.nats.redaction import Redaction
from fastcoord.nats.rights import Right, Rights, needed_rights, refused_right
from fastcoord.nats.servers import Server, announced_servers
from fastcoord.nats.transport import MessageTransport

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.parser import MessageSink

__all__ = ["EVENTS_SID", "Connection", "ConnectionOwner", "ConnectionState", "Note"]

EVENTS_SID = 1
"""The subscription id of the cluster's subject. The owner chooses the ids of other subjects."""


ConnectionState = Literal[
    "connecting",
    "tls",
    "authenticating",
    "subscribing",
    "connected",
    "suspected",
    "closing",
    "closed",
]
"""The states of a connection. ``docs/architecture.md`` draws the transitions between them."""


class ConnectionOwner(Protocol):
    """The callbacks of a connection. They are called on the event loop."""

    def connection_writable(self) -> None:
        """The socket accepts bytes again."""

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """The connection is lost. This is called once."""

    def connection_leaving(self, connection: Connection) -> None:
        """The server will shut down soon (lame-duck mode)."""

    def connection_servers(self, connection: Connection) -> None:
        """The server announced other members of its cluster."""

    def connection_limited(self, connection: Connection) -> None:
        """The server changed ``max_payload``."""

    def connection_refused(self, connection: Connection, right: Right) -> None:
        """The server refuses a right. The PONG behind the refused operation arrives later."""

    def connection_granted(self, connection: Connection, right: Right) -> None:
        """The server grants a right that it refused before."""


class Connection(MessageWriter, ConnectionTraffic):
    """One connection to one server.

    nats-py's client does the handshake, authentication and TLS through ``MessageTransport``.
    Messages do not pass through the client.

    :param config: the configuration.
    :param server: the server to connect to.
    :param sink: receives the messages.
    :param owner: receives the callbacks.
    """

    def __init__(
        self, config: Config, server: Server, sink: MessageSink, owner: ConnectionOwner
    ) -> None:
        self.server = server
        self.read_size = config.nats.capacity.read_buffer
        self._config = config
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._state: ConnectionState = "connecting"
        self._is_up = False
        self._is_done = False
        self._reason: str | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._rights = Rights(needed_rights(config))
        self.was_proven = False
        """Whether ``prove`` has succeeded."""
        self.is_suspected = False
        """Whether a PONG of the server is late. The node's heartbeat sets this."""
        self._limit = PayloadLimit(server)
        self._announced: list[str] = []
        self._redaction = Redaction()
        transport = MessageTransport(
            sink,
            read_size=self.read_size,
            demand_tls=config.nats.tls.enable or server.address.tls,
            owner=self,
        )
        super().__init__(config, transport)
        self._handshake = Handshake(config, server, transport, self._redaction)

    @property
    def state(self) -> ConnectionState:
        """The current state."""
        if self._state == "connecting":
            step = self._handshake.step
            return step if step == "tls" or step == "authenticating" else "connecting"
        return "suspected" if self._state == "connected" and self.is_suspected else self._state

    # ------------------------------------------------------------------------ opening

    async def open(self) -> None:
        """Open the TCP connection, establish TLS if it is used, and authenticate.

        ``timeout.connection`` limits ``open`` and ``prove`` together. If the attempt fails or is
        cancelled, its socket is closed without waiting for the server.

        :raises ConnectError: the attempt failed. The text is the reason, without the server's name.
        :raises ConfigError: a secret of the configuration cannot be read.
        """
        self._deadline = self._loop.time() + self._config.nats.timeout.connection
        try:
            await self._handshake.run(self._deadline, self._use_info)
            if self._gone.done():
                raise ConnectError(f"lost right after the handshake: {self._reason}")
        except BaseException:
            await self.close()
            raise
        self._state = "subscribing"
        self._is_up = True

    def _use_info(self) -> None:
        """Take the limit and the announced servers from the first INFO, and begin with messages."""
        self._announced = connect_urls_of(self._transport.info) or []
        self._limit.begin(self._handshake.max_payload)
        if self._limit.problem:
            raise ConnectError(self._limit.problem)
        self._transport.open_to_messages()

    async def prove(self) -> None:
        """Wait until the server has processed everything that was written since ``open``.

        The owner subscribes, and tests the rights to publish, before this call. Afterwards
        ``refused`` lists the rights that the server refuses.

        :raises ConnectError: the connection was lost, or the server did not answer in time.
            ``connection_lost`` of the owner was called.
        """
        proven: asyncio.Future[None] = self._loop.create_future()
        self._transport.ping(lambda: proven.set_result(None))
        await asyncio.wait(
            {proven, self._gone},
            timeout=self._deadline - self._loop.time(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        failure: ConnectError | None = None
        if not proven.done() and not self._gone.done():
            failure = self._handshake.silence("subscribing")
        elif not self._gone.done() and self._limit.problem:
            failure = ConnectError(self._limit.problem)
        if failure is not None:
            self.abort(str(failure))
            await self._gone
            raise failure
        if self._gone.done():
            raise ConnectError(self._reason or "the connection was lost")
        self._state = "connected"
        self.was_proven = True
        if self._limit.confirm():
            self._owner.connection_limited(self)

    # ------------------------------------------------------------------------ using

    @property
    def max_payload(self) -> int:
        """The size of the largest message that the server accepts, in bytes, headers included."""
        return self._limit.value

    @property
    def is_up(self) -> bool:
        """Whether the connection is open and was not lost."""
        return self._is_up and not self._is_done

    @property
    def is_clustered(self) -> bool:
        """Whether the server is a member of a cluster of servers."""
        return self._transport.is_clustered

    @property
    def delivers_traced(self) -> bool:
        """Whether the server delivers the test of the right to publish, as before version 2.11."""
        return delivers_traced(self._transport.info)

    def announced(self) -> list[Server]:
        """Return the servers that the cluster has announced on this connection."""
        return announced_servers(self._announced, self.server)

    def redact(self, text: str) -> str:
        """Remove the secrets of this node from a text that the server has sent.

        :return: one line of printable text.
        """
        return printable(self._redaction.hide(text))

    # ------------------------------------------------------------------------ rights

    @property
    def refused(self) -> list[Right]:
        """The rights that the node needs and the server refuses now."""
        return list(self._rights.refused)

    def has_refused(self, subject: str) -> bool:
        """Return whether the server has refused an operation on a subject."""
        return subject in self._rights.subjects

    def has_refused_below(self, prefix: str) -> bool:
        """Return whether the server has refused an operation on a subject with this beginning."""
        return self._rights.has_refused_below(prefix)

    def take_refusal(self, subject: str) -> bool:
        """Return whether the server has refused an operation on a subject, and forget it."""
        if subject not in self._rights.subjects:
            return False
        self._rights.subjects.discard(subject)
        return True

    def try_refused(self) -> None:
        """Repeat refused subscriptions, and find out which refused rights are granted now.

        The caller publishes an empty batch and calls ``probe`` before this call, to test the rights
        to publish.
        """
        if self._rights.is_being_proven:
            return
        for right in self._rights.refused:
            sid = self._subscriptions.get(right.subject)
            if right.direction == "subscribe" and sid is not None:
                self.subscribe(right.subject, sid)
        self._rights.begin_proof()
        self._transport.ping(self._end_proof)

    def _end_proof(self) -> None:
        for right in self._rights.end_proof():
            self._owner.connection_granted(self, right)

    # ------------------------------------------------------------------------ ending

    def abort(self, reason: str) -> None:
        """Drop the connection now. ``connection_lost`` of the owner is called later."""
        self._reason = self._reason or reason
        if not self._is_done:
            self._state = "closing"
        self._transport.abort()

    def drop(self) -> None:
        """Drop the connection now, without a callback to the owner. ``release`` must follow."""
        self._is_done = True
        self._state = "closing"
        self._transport.abort()

    async def close(self) -> None:
        """Drop the connection and release its resources, without a callback to the owner."""
        self.drop()
        await self.release()

    async def release(self) -> None:
        """Release the resources of a lost or dropped connection."""
        self._state = "closing"
        self._transport.abort()
        await self._handshake.release()
        self._state = "closed"

    def report_loss(self) -> None:
        """If an exception has interrupted the report of a loss, report the loss again."""
        if self._transport.is_lost:
            self._transport.connection_lost(None)
            self.transport_lost(None)

    # ------------------------------------------------------------ called by the transport

    def transport_writable(self) -> None:
        self._owner.connection_writable()

    def transport_info(self, info: dict[str, Any]) -> None:
        urls = connect_urls_of(info)
        if urls is not None and urls != self._announced:
            self._announced = urls
            if self.is_up:
                self._owner.connection_servers(self)
        limit = max_payload_of(info)
        if limit is not None and self._limit.update(limit):
            if self._limit.problem and self.was_proven:
                # The events are kept for a server that accepts them.
                self.abort(self._limit.problem)
            elif self.is_up:
                self._owner.connection_limited(self)
        if info.get("ldm") is True and self.is_up:
            self._owner.connection_leaving(self)

    def transport_refusal(self, line: bytes) -> ConnectError:
        return refused_handshake(line, self._redaction, has_login(self._config))

    def transport_error(self, line: bytes) -> None:
        right = refused_right(line)
        if right is None:
            # The server may have dropped what was sent before: no later PONG may confirm it.
            self._transport.pings.clear()
            self.abort(server_error(line, self._redaction))
            return
        refused = self._rights.refuse(right)
        if refused is not None and self.is_up:
            self._owner.connection_refused(self, refused)

    def transport_lost(self, error: Exception | None) -> None:
        self._reason = self._reason or describe(error or self._handshake.last_error)
        if not self._gone.done():
            self._gone.set_result(None)
        # Until `open` has succeeded, the owner is not called: `open` raises the error.
        if self._is_up and not self._is_done:
            self._is_done = True
            self._owner.connection_lost(self, self._reason)
