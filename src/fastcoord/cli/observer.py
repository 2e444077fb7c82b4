"""A connection that subscribes to the events of a cluster without joining it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastcoord.errors import ConnectionLost
from fastcoord.nats.connection import EVENTS_SID
from fastcoord.nats.supervisor import Supervisor

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.parser import MessageSink
    from fastcoord.nats.rights import Right

__all__ = ["Observer"]


class Observer:
    """Subscribe to the events of a cluster and publish nothing.

    The observer uses no node id, because a running node may have the one of the file.

    :param config: the configuration.
    :param sink: receives the messages.
    """

    def __init__(self, config: Config, sink: MessageSink) -> None:
        self.server = ""
        self._subject = config.cluster.subject
        self._supervisor = Supervisor(config, sink, self)
        # Log lines must not name the node id of the configuration, which a running node may have.
        self._supervisor.name = "observer"
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        """Wait until the connection is lost for good, or ``end`` is called.

        :raises ConnectionLost: the connection is lost for good.
        """
        await self._ended

    def end(self, error: Exception) -> None:
        """Raise an error in ``wait``."""
        if not self._ended.done():
            self._ended.set_exception(error)

    async def __aenter__(self) -> Self:
        try:
            await self._supervisor.start()
        except BaseException:
            await self._supervisor.close()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._supervisor.close()
        self._ended.cancel()

    def connection_up(self, connection: Connection) -> None:
        self.server = str(connection.server)
        # The supervisor waits for the server's answer, and raises an error without the right.
        connection.subscribe(self._subject, EVENTS_SID)

    def connection_given_up(self, reason: str) -> None:
        self.end(ConnectionLost(f"the connection is lost: {reason}"))

    def connection_writable(self) -> None: ...

    def connection_reprobed(self) -> bool:
        return False

    def connection_down(self, reason: str) -> None: ...

    def connection_limited(self, connection: Connection) -> None: ...

    def connection_refused(self, right: Right) -> None: ...

    def connection_granted(self, right: Right) -> None: ...
