"""Sends heartbeats, and detects dead connections and silent peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastcoord._repeating import RepeatingTimer

if TYPE_CHECKING:
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.pending_pings import PendingPing
    from fastcoord.nats.supervisor import Supervisor
    from fastcoord.presence.presence import Presence
    from fastcoord.publishing.sender import Sender
    from fastcoord.receiving.rules import Rules

__all__ = ["Liveness", "PongTimeout"]

TICKS_PER_HEARTBEAT = 2

TICKS_UNTIL_SUSPECTED = 2
TICKS_UNTIL_DEAD = 3
"""The number of ticks for which a PING may be unanswered. The PING is written at the first tick
after the connection has died. The loss is therefore detected after four ticks (two heartbeats), or
later if a timer is late."""


class PongTimeout:
    """Decide whether a PONG is late, and whether the connection is dead.

    A PONG needs both directions of the connection. A connection that transfers bytes in only one
    direction therefore counts as dead. Two delays do not count: the time to send the bytes before
    the PING, and the time in which this node reads the bytes before the PONG.

    Time is counted in ticks and not in seconds, because this process may be suspended or its event
    loop may be slow. A connection counts as dead only after enough ticks, however long they take.
    """

    def __init__(self) -> None:
        self._ping: PendingPing | None = None
        self._ticks = 0
        self._sent = 0
        self._read_up_to: int | None = None

    def tick(self, connection: Connection) -> bool:
        """Process a tick. Return whether the connection is dead."""
        ping = connection.oldest_ping
        if ping is None or ping is not self._ping:
            self._ping = ping
            self._ticks = 0
            self._read_up_to = None
            self._sent = connection.sent
            connection.is_suspected = False
            return False
        sent = connection.sent
        is_sending = self._sent < sent < ping.position
        # If a full read waits, the server may hold more bytes: it sends no faster than this node
        # reads.
        is_behind = connection.unread >= connection.read_size
        if is_sending or is_behind:
            self._ticks = 0
        else:
            self._ticks += 1
        self._sent = sent
        connection.is_suspected = self._ticks >= TICKS_UNTIL_SUSPECTED
        if self._ticks < TICKS_UNTIL_DEAD:
            return False
        if self._read_up_to is None:
            # The PONG may be among the bytes that have arrived, so these are read first.
            self._read_up_to = connection.received + connection.unread
        return connection.received >= self._read_up_to


class Liveness:
    """Run ``tick`` twice per heartbeat, from ``start`` until ``stop``.

    :param heartbeat: the interval of heartbeats, in seconds.
    :param on_tick: called at each tick with the loop's time, after all checks.
    """

    def __init__(
        self,
        heartbeat: float,
        supervisor: Supervisor,
        sender: Sender,
        presence: Presence,
        rules: Rules,
        on_tick: Callable[[float], None],
    ) -> None:
        self._heartbeat = heartbeat
        self._supervisor = supervisor
        self._sender = sender
        self._presence = presence
        self._rules = rules
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._last_tick = 0.0
        self._peers_skipped = False
        self._timer = RepeatingTimer(heartbeat / TICKS_PER_HEARTBEAT, self._run)
        self._pong_timeout = PongTimeout()

    def start(self) -> None:
        """Schedule the first tick."""
        self._last_tick = self._loop.time()
        self._timer.start()

    def stop(self) -> None:
        """Cancel the next tick."""
        self._timer.stop()

    def _run(self) -> None:
        self.tick(self._loop.time())

    def tick(self, now: float) -> None:
        """Send a heartbeat if one is due. Detect a dead connection and silent peers."""
        was_late = now - self._last_tick > self._heartbeat
        self._last_tick = now
        connection = self._supervisor.connection
        if connection is not None:
            self._presence.tick(now, must_beat=bool(connection.refused))
            if connection.refused:
                if not connection.delivers_traced or _is_publishing_refused(connection):
                    self._presence.probe()
                connection.try_refused()
            if self._pong_timeout.tick(connection):
                connection.abort(
                    f"no PONG from the server for {TICKS_UNTIL_DEAD / TICKS_PER_HEARTBEAT:g}"
                    " heartbeats"
                )
            self._sender.check_alive()
            # After a suspension, the socket holds unread messages of peers. A late tick skips the
            # check for silent peers, so that these messages are read first. If all ticks are late,
            # every second one checks.
            self._peers_skipped = was_late and not self._peers_skipped
            if not self._peers_skipped:
                self._rules.tick(now)
        self._on_tick(now)


def _is_publishing_refused(connection: Connection) -> bool:
    """Return whether the server refuses events. Only then, an old server delivers no test."""
    return any(
        right.direction == "publish" and not right.events_subject for right in connection.refused
    )
