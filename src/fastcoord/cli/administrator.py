"""A connection for requests to JetStream, without joining or observing a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.cli.observer import Observer
from fastcoord.errors import ConnectionLost
from fastcoord.nats.jetstream import JetStream
from fastcoord.nats.parser import MessageSink

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection

__all__ = ["Administrator"]


class Administrator(Observer):
    """Send requests to JetStream. It needs no right on the subjects of the cluster.

    A lost connection ends the requests: they are not repeated on another one.

    :param config: the configuration.
    """

    jetstream: JetStream

    def __init__(self, config: Config) -> None:
        super().__init__(config, Replies(self))
        self._timeout = config.nats.timeout.request
        self._domain = config.cluster.stream_domain
        self.is_clustered = False

    def connection_up(self, connection: Connection) -> None:
        self.server = str(connection.server)
        self.is_clustered = connection.is_clustered
        self.jetstream = JetStream(connection, self._timeout, self._domain)

    def connection_down(self, reason: str) -> None:
        self.jetstream.end(ConnectionLost(f"the connection to {self.server} is lost: {reason}"))


class Replies(MessageSink):
    """Pass each received message to JetStream's pending requests."""

    def __init__(self, administrator: Administrator) -> None:
        self._administrator = administrator

    def take(self, sid: int, reply: bytes, numbers: object, payload: bytes) -> None:
        self._administrator.jetstream.take(sid, payload)
