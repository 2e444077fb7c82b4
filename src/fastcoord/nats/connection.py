"""One connection to one server: opened, used and closed once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nats.aio.client import Client

from fastcoord.errors import ConfigError, ConnectError, ConnectTimeout
from fastcoord.nats.compat import check_installed, drop_transport, use_transport
from fastcoord.nats.failures import describe, explain, refused_after_tls, server_error, silence
from fastcoord.nats.info import max_payload_of
from fastcoord.nats.message_writer import MessageWriter, Note
from fastcoord.nats.options import client_options
from fastcoord.nats.rights import Right, Rights, refused_right
from fastcoord.nats.servers import Server, announced_servers
from fastcoord.nats.transport import MessageTransport

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.parser import MessageSink
    from fastcoord.nats.pending_pings import PendingPing

__all__ = ["EVENTS_SID", "Connection", "ConnectionOwner", "ConnectionState", "Note"]

EVENTS_SID = 1
"""The subscription id of the cluster's subject. The owner chooses the ids of other subjects."""

MIN_MAX_PAYLOAD = 512
"""The smallest usable max_payload of a server, in bytes. The header and some events must fit."""

CLOSING_LIMIT = 1.0
"""The most seconds that closing takes. The socket is closed first, so only tasks are awaited."""

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


class Connection(MessageWriter):
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
        check_installed()
        self.server = server
        self.read_size = config.nats.capacity.read_buffer
        """The most bytes that one read of the socket returns."""
        self._config = config
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._state: ConnectionState = "connecting"
        self._is_accepted = False
        self._is_up = False
        self._is_done = False
        self._is_client_started = False
        self._reason: str | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._rights = Rights(needed_rights(config))
        self.was_proven = False
        """Whether ``prove`` has succeeded."""
        self.is_suspected = False
        """Whether a PONG of the server is late. The node's heartbeat sets this."""
        self.max_payload = 0
        """The size of the largest message that the server accepts, in bytes, headers included."""
        self._client = Client()
        transport = MessageTransport(
            sink,
            read_size=self.read_size,
            demand_tls=config.nats.tls.enable or server.address.tls,
            owner=self,
        )
        super().__init__(config, transport)
        use_transport(self._client, transport)

    @property
    def state(self) -> ConnectionState:
        """The current state."""
        if self._state == "connected" and self.is_suspected:
            return "suspected"
        return self._state

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
            await self._limited(self._open())
            if self._gone.done():
                raise ConnectError(f"lost right after the handshake: {self._reason}")
        except BaseException:
            await self.close()
            raise
        self._state = "subscribing"
        self._is_up = True

    async def _limited(self, step: Coroutine[Any, Any, None]) -> None:
        """Run a step of the attempt; stop at the deadline even if it ignores its cancellation."""
        task = asyncio.ensure_future(step)
        try:
            await asyncio.wait({task}, timeout=self._deadline - self._loop.time())
            if not task.done():
                raise self._silence()
            task.result()
        finally:
            if not task.done():
                # The step may wait for the socket. Closing the socket ends that wait.
                self._transport.abort()
                task.cancel()
                task.add_done_callback(ignore_failure)
                await asyncio.wait({task}, timeout=CLOSING_LIMIT)

    def _silence(self) -> ConnectTimeout:
        step = "greeting" if self._state == "connecting" and self._is_accepted else self._state
        return ConnectTimeout(silence(step, self._config.nats.timeout.connection))

    async def _open(self) -> None:
        options = client_options(self._config, f"nats://{self.server}", self.server.name)
        options["error_cb"] = self._on_error
        options["lame_duck_mode_cb"] = self._on_lame_duck
        options["discovered_server_cb"] = self._on_discovered
        try:
            address, node_id = self.server.address, self._config.cluster.node_id
            await self._transport.dial(address.host, address.port, node_id)
            self._is_accepted = True
            self._is_client_started = True
            await self._client.connect(**options)
        except (ConfigError, asyncio.CancelledError):
            raise
        except asyncio.TimeoutError as error:
            # Before Python 3.11, asyncio.TimeoutError was not the built-in TimeoutError.
            raise self._silence() from error
        except Exception as error:
            # A server can make nats-py raise any exception. The exception ends only this attempt.
            if isinstance(error, BrokenPipeError | ConnectionResetError) and (
                self._state == "authenticating" and self._transport.is_secure
            ):
                has_certificate = self._config.nats.tls.cert_file is not None
                raise refused_after_tls(error, has_certificate) from error
            raise explain(error) from error
        if not self._client.is_connected:
            raise ConnectError(self._reason or "the server answered something that is not NATS")
        self.max_payload = first_limit = int(self._client.max_payload)
        if self.server.payload_limits[0] == first_limit:
            # The INFO with this user's limit arrives after the first batches are sent. Until then,
            # the limit of the previous connection is used.
            self.max_payload = self.server.payload_limits[1]
        self.server.payload_limits = (first_limit, self.max_payload)
        self._check_max_payload()
        self._transport.open_to_messages(self.max_payload)

    def _check_max_payload(self) -> None:
        if self.max_payload < MIN_MAX_PAYLOAD:
            raise ConnectError(too_small(self.max_payload))

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
            failure = self._silence()
        elif proven.done() and not self._gone.done():
            try:
                self._check_max_payload()
            except ConnectError as error:
                failure = error
        if failure is not None:
            self.abort(str(failure))
            await self._gone
            raise failure
        if self._gone.done():
            raise ConnectError(self._reason or "the connection was lost")
        self._state = "connected"
        self.was_proven = True

    # ------------------------------------------------------------------------ using

    @property
    def is_up(self) -> bool:
        """Whether the connection is open and was not lost."""
        return self._is_up and not self._is_done

    @property
    def is_writable(self) -> bool:
        """Whether the socket accepts more bytes now."""
        return self._transport.is_writable

    @property
    def last_activity(self) -> float:
        """The loop's time when bytes were last read or the write buffer last drained."""
        return self._transport.last_activity

    @property
    def is_clustered(self) -> bool:
        """Whether the server is a member of a cluster of servers."""
        return self._transport.is_clustered

    @property
    def oldest_ping(self) -> PendingPing | None:
        """The oldest PING that the server has not answered, or ``None``."""
        return self._transport.pings.oldest

    @property
    def sent(self) -> int:
        """A lower bound of the number of written bytes that the other host has acknowledged."""
        return self._transport.sent

    @property
    def received(self) -> int:
        """The number of bytes read from the socket so far."""
        return self._transport.received

    @property
    def unread(self) -> int:
        """The number of bytes that have arrived and were not read yet."""
        return self._transport.unread

    def announced(self) -> list[Server]:
        """Return the servers that the cluster has announced on this connection."""
        return announced_servers(self._client.discovered_servers, self.server)

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

    async def close(self) -> None:
        """Drop the connection and release its resources, without a callback to the owner."""
        self._is_done = True
        await self.release()

    async def release(self) -> None:
        """Release the resources of a lost or dropped connection."""
        self._state = "closing"
        self._transport.abort()
        if self._is_client_started:
            closing = asyncio.ensure_future(self._client.close())
            closing.add_done_callback(ignore_failure)
            await asyncio.wait({closing}, timeout=CLOSING_LIMIT)
            closing.cancel()
        # The client and the transport refer to each other. Breaking this cycle frees both, and the
        # memory of TLS, at once and not at the next garbage collection.
        drop_transport(self._client)
        self._state = "closed"

    def report_loss(self) -> None:
        """If an exception has interrupted the report of a loss, report the loss again."""
        if self._transport.is_lost:
            self._transport.connection_lost(None)
            self.transport_lost(None)

    # ------------------------------------------------------------ called by the transport

    def transport_securing(self) -> None:
        self._state = "tls"

    def transport_authenticating(self) -> None:
        self._state = "authenticating"

    def transport_writable(self) -> None:
        self._owner.connection_writable()

    def transport_info(self, info: dict[str, Any]) -> None:
        limit = max_payload_of(info)
        if limit is not None and limit != self.max_payload:
            if limit < MIN_MAX_PAYLOAD and self.was_proven:
                # The events are kept for a server that accepts them.
                self.abort(too_small(limit))
                return
            # A user or an account may have a smaller limit than the server.
            self.max_payload = limit
            self.server.payload_limits = (self.server.payload_limits[0], limit)
            if self.is_up:
                self._owner.connection_limited(self)

    def transport_error(self, line: bytes) -> bool:
        right = refused_right(line)
        if right is None:
            self._reason = server_error(line)
            return False
        refused = self._rights.refuse(right)
        if refused is not None and self.is_up:
            self._owner.connection_refused(self, refused)
        return True

    def transport_lost(self, error: Exception | None) -> None:
        self._reason = self._reason or describe(error or self._client.last_error)
        if not self._gone.done():
            self._gone.set_result(None)
        # Until `open` has succeeded, the owner is not called: `open` raises the error.
        if self._is_up and not self._is_done:
            self._is_done = True
            self._owner.connection_lost(self, self._reason)

    # --------------------------------------------------------------- called by nats-py

    async def _on_error(self, error: Exception) -> None:
        """Ignore the error: the transport processes ``-ERR`` and reports a lost connection."""

    async def _on_lame_duck(self) -> None:
        if self.is_up:
            self._owner.connection_leaving(self)

    async def _on_discovered(self) -> None:
        if self.is_up:
            self._owner.connection_servers(self)


def needed_rights(config: Config) -> list[Right]:
    """Return the rights without which a node does not work."""
    events, presence = config.cluster.subject, config.cluster.presence_subject
    rights = [Right("publish", events), Right("subscribe", events)]
    if presence != events:
        rights += [Right("publish", presence, events), Right("subscribe", presence, events)]
    return rights


def too_small(max_payload: int) -> str:
    return (
        f"the server's max_payload of {max_payload} bytes is too small for batches:"
        f" at least {MIN_MAX_PAYLOAD} are needed"
    )


def ignore_failure(task: asyncio.Task[None]) -> None:
    """Retrieve the exception of a task, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
