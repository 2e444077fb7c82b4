"""The heartbeat of a node: sends beats, finds dead connections and silent peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.nats.supervisor import Supervisor
    from fastcoord.publishing.sender import Sender
    from fastcoord.receiving.gaps import GapDetector

__all__ = ["Liveness"]

TICKS_PER_HEARTBEAT = 2
HEARTBEATS_UNTIL_DEAD = 1.5
"""A connection is dead if a PING was unanswered, and nothing was read or written, for so long. With
a tick every half heartbeat that is noticed after at most two and a half heartbeats, three with the
timer's own delay."""


class Liveness:
    """Run ``tick`` twice per heartbeat, from ``start`` until ``stop``.

    :param heartbeat: seconds.
    :param on_tick: called at each tick with the loop's time, after all checks.
    """

    def __init__(
        self,
        heartbeat: float,
        supervisor: Supervisor,
        sender: Sender,
        gap_detector: GapDetector,
        on_tick: Callable[[float], None],
    ) -> None:
        self._heartbeat = heartbeat
        self._supervisor = supervisor
        self._sender = sender
        self._gap_detector = gap_detector
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._last_tick = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Schedule the first tick."""
        self._last_tick = self._loop.time()
        self._schedule()

    def stop(self) -> None:
        """Cancel the next tick."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(self._heartbeat / TICKS_PER_HEARTBEAT, self._run)

    def _run(self) -> None:
        self._schedule()
        self.tick(self._loop.time())

    def tick(self, now: float) -> None:
        """Send a beat if one is due, and look for a dead connection and for silent peers."""
        # After a suspension of this process answers may lie unread in the socket. They are read
        # before a connection or a peer is called silent.
        was_suspended = now - self._last_tick > self._heartbeat
        self._last_tick = now
        connection = self._supervisor.connection
        if connection is not None:
            if now - self._sender.last_sent >= self._heartbeat * 0.75:
                self._sender.beat()
            pinged_at = self._sender.pinged_at
            dead_since = now - HEARTBEATS_UNTIL_DEAD * self._heartbeat
            if was_suspended:
                self._sender.restart_ping_timeouts(now)
            elif (
                pinged_at is not None
                and pinged_at < dead_since
                and connection.last_activity < dead_since
            ):
                connection.abort(f"no sign of life from the server for {now - pinged_at:.1f} s")
            self._sender.check_alive()
            if not was_suspended:
                self._gap_detector.tick(now)
        self._on_tick(now)
