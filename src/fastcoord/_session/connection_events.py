"""What happens to the connection of a node, passed on to its components."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from fastcoord._session.ending import Ending
from fastcoord.errors import ConnectionLost
from fastcoord.events import Disconnected, Reconnected
from fastcoord.nats.connection import EVENTS_SID
from fastcoord.publishing.pace import SECONDS_PRESENT

if TYPE_CHECKING:
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.rights import Right

__all__ = ["ConnectionEvents"]


class ConnectionEvents(Ending):
    """The callbacks of the supervisor, and the repair of what has interrupted them."""

    def connection_writable(self) -> None:
        self.sender.resume()

    def connection_up(self, connection: Connection) -> None:
        cluster = self.config.cluster
        if self._stream is None or cluster.presence_subject == cluster.subject:
            connection.subscribe(cluster.subject, EVENTS_SID)
        self._presence.subscribe(connection)
        now = self._loop.time()
        if self._stream is not None:
            self._stream.use(connection)
        self._receiver.now = now
        self._receiver.received_at = time.time()
        self._rules.connected(now)
        # Stalwart nodes cannot recognise a resend. While one is present, confirmed batches are not
        # sent again.
        stalwart_at = self._stalwart_received_at
        repeats = stalwart_at is None or now - stalwart_at > SECONDS_PRESENT
        if self._has_joined:
            self._receiver.notify(Reconnected(str(connection.server)))
        else:
            self._rules.settle_from(now)
        discarded = self.sender.connected(
            connection,
            repeat=self.config.cluster.heartbeat if repeats else None,
            hold=bool(self._rules.awaited) and self._hold.begin(self.sender.seconds_to_expiry()),
            greet=self._greet,
        )
        self._report_too_large(connection, discarded)

    def _greet(self) -> None:
        self._presence.connected()
        self._presence.probe()

    def connection_reprobed(self) -> bool:
        return self._presence.reprobe()

    def connection_limited(self, connection: Connection) -> None:
        self._report_too_large(connection, self.sender.limit_batches(connection.max_payload))

    def _report_too_large(self, connection: Connection, discarded: int) -> None:
        self._losses.discarded(
            discarded,
            "larger than max_payload",
            f"{connection.server} accepts no message of more than {connection.max_payload} bytes",
            logging.ERROR,
        )

    def connection_down(self, reason: str) -> None:
        self._loss_reason = reason
        # Before the node has joined, a failed attempt is not reported as a lost connection.
        if self._has_joined:
            self._rules.disconnected()
            self._receiver.notify(Disconnected(reason))
        self._hold.cancel()
        if self._stream is not None:
            self._stream.disconnected(reason)
        self._presence.disconnected()
        # This call is last: until the sender drops the connection, `_repair` repeats this method.
        self.sender.disconnected()

    def connection_refused(self, right: Right) -> None:
        if right.events_subject:
            return
        if right.direction == "publish":
            self.sender.refused(right.denied())
        else:
            self._rules.disconnected()

    def connection_granted(self, right: Right) -> None:
        if not right.events_subject:
            if right.direction == "publish":
                self.sender.permitted()
            else:
                self._rules.connected(self._loop.time())
        self._presence.connected()

    def connection_given_up(self, reason: str) -> None:
        self._end(ConnectionLost(f"the connection is lost: {reason}"))

    def peers_are_back(self) -> None:
        # The hold is cancelled last: until then its limit repeats this method if an exception
        # interrupts it.
        self.sender.release()
        self._rules.awaited.clear()
        self._hold.cancel()

    def _repair(self, now: float) -> None:
        """Finish what an exception of a signal handler or a ``MemoryError`` has interrupted."""
        self._supervisor.repair()
        current = self._supervisor.connection
        if self.sender.connection not in (None, current):
            self.connection_down("the report of its loss was interrupted")
        if current is not None and self.sender.connection is None:
            current.abort("setting up the connection was interrupted")
        self._hold.check(now)
        self.sender.repair()
