"""Keeps one connection open: chooses servers, waits between attempts, and gives up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from fastcoord.errors import ConfigError, ConnectError, ConnectTimeout
from fastcoord.nats.backoff import Backoff
from fastcoord.nats.connection import Connection, ConnectionState
from fastcoord.nats.failures import connect_error
from fastcoord.nats.handshake import CLOSING_LIMIT
from fastcoord.nats.rights import Right, denied
from fastcoord.nats.servers import Server, ServerList

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.parser import MessageSink

__all__ = ["Supervisor", "SupervisorOwner"]

MAX_DEFECTS = 5
"""The number of unexpected exceptions after which the supervisor gives up, unless it connects in
between."""

TRANSIENT = (ConnectError, ConnectTimeout)
"""The failures that end by themselves when a server is back. Others need the operator: credentials,
TLS, rights and the configuration."""

logger = logging.getLogger("fastcoord")


class SupervisorOwner(Protocol):
    """The callbacks of the supervisor. They are called on the event loop."""

    def connection_writable(self) -> None:
        """The socket accepts bytes again."""

    def connection_up(self, connection: Connection) -> None:
        """A new connection is authenticated; the owner uses it from now on.

        The owner subscribes and publishes, to test whether the server grants all rights.
        """

    def connection_reprobed(self) -> bool:
        """Test the right to publish events again if the first test has no result.

        :return: whether it was tested again.
        """

    def connection_down(self, reason: str) -> None:
        """The connection is lost. The supervisor tries to open another one."""

    def connection_given_up(self, reason: str) -> None:
        """The connection is lost, and the supervisor opens no other one."""

    def connection_limited(self, connection: Connection) -> None:
        """The server changed ``max_payload`` of the open connection."""

    def connection_refused(self, right: Right) -> None:
        """The server refuses a right. The PONG behind the refused operation arrives later."""

    def connection_granted(self, right: Right) -> None:
        """The server grants a right that it refused before."""


class Supervisor:
    """Connect to a configured or announced server, and reconnect when the connection is lost.

    :param config: the configuration.
    :param sink: receives the messages of the open connection.
    :param owner: receives the callbacks.
    """

    def __init__(self, config: Config, sink: MessageSink, owner: SupervisorOwner) -> None:
        self._config = config
        self._sink = sink
        self._owner = owner
        self.name = f"node {config.cluster.node_id}"
        self._servers = ServerList(config.nats.address)
        self._connection: Connection | None = None
        self._attempted: Connection | None = None
        self._is_closed = False
        self._is_given_up = False
        self._lost: asyncio.Event = asyncio.Event()
        self._reason = ""
        self._leaving: Server | None = None
        self._staying: Connection | None = None
        """The connection to a server that will shut down, if there is no other server."""
        self._task: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._defects = 0
        self._releasing: set[asyncio.Task[None]] = set()
        self.reconnects = 0
        self.last_failure = ""
        """Why the last attempt to reconnect has failed; empty while there is a connection."""

    @property
    def connection(self) -> Connection | None:
        """The open connection, or ``None``."""
        return self._connection

    @property
    def state(self) -> ConnectionState:
        """The state of the connection, or of the attempt to open one.

        During the backoff before an attempt, the state is ``"connecting"`` too.
        """
        if self._is_closed:
            return "closed"
        if self._attempted is None or self._attempted.state == "closed":
            return "connecting"
        return self._attempted.state

    # ------------------------------------------------------------------------ starting

    async def start(self) -> None:
        """Try each server once, in random order, until one is connected.

        :raises ConnectError: no server is connected. The message lists each server with its reason.
        """
        failures: list[tuple[Server, ConnectError]] = []
        for server in self._servers.shuffled():
            try:
                connection = await self._attempt(server)
                if connection.refused:
                    refusal = denied(connection.refused)
                    await self._drop(str(refusal))
                    raise refusal
            except ConnectError as error:
                failures.append((server, error))
                continue
            logger.info("%s: connected to %s", self.name, server)
            self._task = asyncio.create_task(
                self._watch(), name=f"fastcoord {self.name} connection"
            )
            return
        self._is_closed = True
        raise connect_error(failures)

    async def _attempt(self, server: Server) -> Connection:
        """Try one server within ``timeout.connection``.

        When the connection is authenticated, the owner subscribes and publishes. ``prove`` then
        waits for the server's answer. If ``prove`` fails, ``connection_down`` of the owner is
        called, as for any lost connection.

        :raises ConnectError: the attempt failed. The text is the reason.
        """
        self._lost.clear()
        self._attempted = connection = Connection(self._config, server, self._sink, self)
        await connection.open()
        self._connection = connection
        self._backoff.connected(asyncio.get_running_loop().time())
        try:
            self.connection_servers(connection)
            self._owner.connection_up(connection)
            await connection.prove()
            if self._owner.connection_reprobed():
                await connection.prove()
        except BaseException:
            # The connection is lost already, or an exception has interrupted its setup.
            connection.abort("setting up the connection was interrupted")
            raise
        return connection

    async def _drop(self, reason: str) -> None:
        """Drop the open connection, as if it was lost, and wait until that is reported."""
        if self._connection is not None:
            self._connection.abort(reason)
            await self._lost.wait()

    # ------------------------------------------------------------ called by the connection

    def connection_writable(self) -> None:
        self._owner.connection_writable()

    def connection_lost(self, connection: Connection, reason: str) -> None:
        self._collect(connection.release())
        if connection is not self._connection:
            return
        # The state is set first: `repair` finishes what an exception interrupts here.
        self._reason = reason
        self._lost.set()
        self._connection = None
        if connection.was_proven and self._task is not None:
            logger.warning("%s: connection to %s lost: %s", self.name, connection.server, reason)
        self._owner.connection_down(reason)

    def connection_leaving(self, connection: Connection) -> None:
        if connection is not self._connection:
            return
        may_leave = self._config.nats.max_reconnects != 0
        if may_leave and self._servers.others(connection.server):
            logger.info(
                "%s: %s will shut down, connecting to another server", self.name, connection.server
            )
            self._leaving = connection.server
            connection.abort("the server will shut down (lame-duck mode)")
        elif connection is not self._staying:
            # It takes no new connections, but keeps this one for up to some minutes.
            self._staying = connection
            logger.warning(
                "%s: %s will shut down, and %s: using it until it closes the connection",
                self.name,
                connection.server,
                "no other server is known" if may_leave else "max-reconnects is 0",
            )

    def connection_servers(self, connection: Connection) -> None:
        self._servers.announce(connection.announced())

    def connection_limited(self, connection: Connection) -> None:
        if connection is self._connection:
            self._owner.connection_limited(connection)

    def connection_refused(self, connection: Connection, right: Right) -> None:
        # Before the node has joined, `start` raises the error.
        if connection is self._connection and self._task is not None:
            logger.error("%s: %s: %s", self.name, connection.server, right.denied())
            self._owner.connection_refused(right)

    def connection_granted(self, connection: Connection, right: Right) -> None:
        if connection is self._connection:
            logger.error(
                "%s: %s permits this user to %s on %s again",
                self.name,
                connection.server,
                right.direction,
                right.subject,
            )
            self._owner.connection_granted(right)

    # ----------------------------------------------------------------------- reconnecting

    async def _watch(self) -> None:
        while not self._is_given_up:
            try:
                await self._keep_connected()
                self._is_given_up = True
            except Exception as error:
                # The cause is a defect of fastcoord or an exception of a signal handler.
                logger.exception("%s: reconnecting failed", self.name)
                self._defects += 1
                if self._defects == MAX_DEFECTS:
                    self._is_given_up = True
                    self._owner.connection_given_up(f"internal error: {error!r}")
                elif self._connection is None:
                    self._lost.set()

    def repair(self) -> None:
        """Finish what an exception, for example of a signal handler, has interrupted.

        This is called at each tick of the heartbeat.
        """
        connection = self._connection
        if connection is not None:
            connection.report_loss()
            if connection is self._connection and not connection.is_up:
                self.connection_lost(connection, "the report of its loss was interrupted")
        task = self._task
        # A cancelled task is not started again: the program is closing its event loop.
        if task is not None and task.done() and not task.cancelled() and not self._is_given_up:
            logger.error("%s: reconnecting was interrupted by %r", self.name, task.exception())
            if self._connection is None:
                self._lost.set()
            self._task = asyncio.create_task(
                self._watch(), name=f"fastcoord {self.name} connection"
            )

    async def _keep_connected(self) -> None:
        while True:
            await self._lost.wait()
            connection = await self._reconnect()
            if connection is None:
                return
            self.reconnects += 1
            self._defects = 0
            self.last_failure = ""
            # The level is that of the loss, so that a log has both lines or neither.
            logger.warning("%s: connected to %s", self.name, connection.server)

    async def _reconnect(self) -> Connection | None:
        """Try servers until one is connected; give up after ``max-reconnects`` attempts."""
        allowed = self._config.nats.max_reconnects
        self._backoff.lost(asyncio.get_running_loop().time())
        attempts = 0
        logged: set[type[Exception]] = set()
        while True:
            for server in self._servers.shuffled(self._leaving):
                if allowed is not None and attempts >= allowed:
                    self._give_up(attempts)
                    return None
                await asyncio.sleep(self._backoff.next())
                attempts += 1
                try:
                    connection = await self._attempt(server)
                except (ConnectError, ConfigError) as error:
                    self.last_failure = f"{server}: {error}"
                    if type(error) not in logged:
                        logged.add(type(error))
                        level = logging.INFO if type(error) in TRANSIENT else logging.WARNING
                        logger.log(level, "%s: reconnecting: %s", self.name, self.last_failure)
                    continue
                self._leaving = None
                return connection

    def _give_up(self, attempts: int) -> None:
        if attempts == 0:
            reason = f"{self._reason}; max-reconnects is 0, so no reconnection was tried"
        else:
            reason = (
                f"{self._reason}; none of {attempts} attempts to reconnect succeeded"
                f" (max-reconnects); the last failure: {self.last_failure}"
            )
        logger.error("%s: connection given up: %s", self.name, reason)
        self._owner.connection_given_up(reason)

    # ------------------------------------------------------------------------------ ending

    def _collect(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(ending)
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    def abandon(self) -> None:
        """Stop reconnecting in a forked child, because the connection belongs to the parent."""
        if self._task is not None:
            self._task.cancel()

    def drop(self) -> None:
        """Stop reconnecting and drop the connection now; ``close`` waits for the end of both."""
        if self._task is not None:
            self._task.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()
            self._collect(connection.release())

    async def close(self) -> None:
        """Stop reconnecting and drop the connection, without waiting for the server."""
        self.drop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=2 * CLOSING_LIMIT)
        if self._releasing:
            await asyncio.wait(self._releasing, timeout=2 * CLOSING_LIMIT)
        self._is_closed = True
