"""Seal batches, write them to a connection, and confirm them.

An event leaves within the call of ``publish`` if nothing waits. Otherwise its batch is sealed when
it is full, in the next iteration of the event loop, or when the pace allows it.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from fastcoord._clock import clock_of
from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.caller import CallerCheck
from fastcoord.publishing.confirmation import CONFIRMATION_PAUSE, Confirmations
from fastcoord.publishing.empty_batches import EmptyBatches
from fastcoord.publishing.pace import Pace
from fastcoord.publishing.waiting_publishers import WaitingPublishers

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.publishing.node_state import NodeState
    from fastcoord.wire.sealed_batch import SealedBatch

__all__ = ["BYTES_PER_WRITE", "IDLE_SECONDS", "BatchWriter"]

BYTES_PER_WRITE = 128 * 1024
"""How many bytes are written before the connection is asked again whether it is writable."""

IDLE_SECONDS = 0.0005
"""Events that come singly and at least this many seconds apart are sent at once, although the last
one is unconfirmed."""

logger = logging.getLogger("fastcoord")


class BatchWriter:
    """Writes the batches of a node while it has a connection, and confirms them.

    :param config: the configuration.
    :param incarnation: this run of the node.
    :param state: stores what has ended the node.
    """

    def __init__(
        self, config: Config, *, node_id: int, protocol: str, incarnation: int, state: NodeState
    ) -> None:
        self.incarnation = incarnation
        self._state = state
        self.sent_bytes = 0
        self.last_sent = 0.0
        self._loop = asyncio.get_running_loop()
        self._caller = CallerCheck(state, f"node {node_id}")
        self._clock = clock_of(self._loop)
        cluster, capacity = config.cluster, config.nats.capacity
        self.batcher = Batcher(
            node_id=node_id,
            protocol=protocol,
            limit=capacity.batch_bytes,
            capacity=capacity.client,
            clock=self._clock,
            on_open=self._schedule_flush,
            on_seal=self._send_full_batches,
        )
        self.empty_batches = EmptyBatches(
            self.batcher, cluster.presence_subject, cluster.subject, incarnation
        )
        self.pace = Pace(cluster.pace, protocol)
        self._pace_timer: asyncio.TimerHandle | None = None
        self._is_probe_unconfirmed = False
        """Whether the server may still have to deliver the test of the right to publish."""
        self._confirmations = Confirmations(self.batcher, capacity.client)
        self._confirmation_timer: asyncio.TimerHandle | None = None
        self._waiting = WaitingPublishers(state, self.batcher)
        self._connection: Connection | None = None
        self._is_held = False
        self._is_draining = False
        self._is_refused = False
        self._refusals = 0
        self._goodbye: asyncio.Future[None] | None = None
        """Set by ``close``: nothing more is accepted. Done when the server has the goodbye."""
        self._is_flush_requested = False
        self._is_flush_deferred = False
        """Whether the last flush was left to the end of the pace, or to a confirmation."""
        self._is_writing = False
        self._opened_at = 0.0
        """When the first event of the last flush was published, on the clock of the batcher."""
        self._is_single = False
        """Whether the last flush sent the events of one call, not those of a busy event loop."""

    # -------------------------------------------------------------------------- sealing

    def _schedule_flush(self) -> None:
        if not self._caller.is_in_loop():
            self._loop.call_soon_threadsafe(self._flush)
        elif self._is_idle():
            self._flush_at_once()
        else:
            self._loop.call_soon(self._flush)

    def _is_idle(self) -> bool:
        """Return whether an event can be sent at once: no other batch waits, and the last ones are
        confirmed, or events come singly.

        The events that a busy loop publishes after an event that was sent at once are collected in
        one batch. The next such burst is collected as a whole: in a message of its own, its first
        event would arrive hardly earlier, and each message costs time.
        """
        batcher, connection = self.batcher, self._connection
        return (
            connection is not None
            and connection.is_writable
            # A finalizer may publish while batches are written, and must not overtake them.
            and not (self._is_held or self._is_draining or self._is_writing)
            and not (batcher.queue or batcher.resend)
            and (not batcher.window or (self._is_single and self._is_apart()))
        )

    def _is_apart(self) -> bool:
        """Return whether the open batch was begun some time after that of the last flush.

        The clock of the event loop would not do: that of uvloop has a resolution of 1 ms.
        """
        return self.batcher.opened_at - self._opened_at >= IDLE_SECONDS

    def _flush_at_once(self) -> None:
        self._send_in_call(self._flush)
        # Several events here are those of one call, which fit into one message.
        self._is_single = True

    def _send_in_call(self, send: Callable[[], None]) -> None:
        """Send within the call of ``publish``, and log errors instead of raising them there."""
        try:
            send()
        except Exception:
            # The connection was dropped, and the events are kept for the next one.
            logger.exception("sending failed: the connection is dropped")

    def _send_full_batches(self) -> None:
        if self._caller.is_in_loop() and not self._is_writing:
            self._send_in_call(self._send_batches)
        elif not self._is_flush_requested:
            # One call is enough, however many batches are filled before the loop runs it.
            self._is_flush_requested = True
            self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        """Seal the open batch, and send batches while the connection is writable."""
        self._is_flush_requested = False
        self._is_flush_deferred = self.pace.is_on and self._waits_for_pace()
        if self._is_flush_deferred:
            return
        batcher = self.batcher
        if batcher.open_count:
            self._is_single = batcher.open_count == 1 and self._is_apart()
            self._opened_at = batcher.opened_at
        batcher.begin_flush()
        batcher.seal()
        self._send_batches()

    def _send_batches(self) -> None:
        connection = self._connection
        if connection is None or self._is_held or self._is_refused or self._is_ended():
            return
        if not self._has_batches():
            return
        self._is_writing = True
        try:
            if self.pace.is_on:
                self._write_paced(connection)
            else:
                while self._has_batches() and connection.is_writable:
                    self._write(connection)
        except BaseException:
            # A signal handler raised an exception, or there is no memory. Batches that were taken
            # may not have been written, so no PONG of this connection may confirm them.
            connection.abort("sending was interrupted")
            raise
        finally:
            self._is_writing = False
        self._confirm_later()

    def _is_ended(self) -> bool:
        """Return whether the node is closed. ``close`` still sends what was accepted before."""
        return self._state.is_closed and self._goodbye is None

    def _has_batches(self) -> bool:
        """Return whether there are batches that may be sent now."""
        batcher = self.batcher
        return bool(batcher.resend) or (bool(batcher.queue) and not self._is_draining)

    def _write_paced(self, connection: Connection) -> None:
        """Write one batch, unless it must wait."""
        if connection.is_writable and not self._waits_for_pace():
            self.pace.sent(self._write(connection, 1), self._loop.time())
            if self._has_batches():
                self._waits_for_pace()

    def _waits_for_pace(self) -> bool:
        """Return whether the next message must wait, and schedule the end of its wait.

        Meanwhile the open batch takes further events.
        """
        if self.batcher.window or self._is_probe_unconfirmed:
            return True  # `_begin_pace` follows the confirmation
        ready_at = self.pace.ready_at
        if ready_at <= self._loop.time() or self._connection is None:
            return False
        timer = self._pace_timer
        if timer is None or timer.cancelled() or timer.when() < self._loop.time():
            self._pace_timer = self._loop.call_at(ready_at, self._end_pace)
        return True

    def _begin_pace(self) -> None:
        """Let the next message wait, because the last one was confirmed now."""
        if self.pace.is_on and not self.batcher.window:
            self.pace.confirmed(self._loop.time())
            self._waits_for_pace()

    def _end_pace(self) -> None:
        self._pace_timer = None
        self._flush()

    def _continue(self) -> None:
        """Send further batches after a confirmation."""
        batcher = self.batcher
        if self._is_flush_deferred:
            self._flush()
        elif batcher.open_count and not batcher.is_flush_scheduled:
            # The batch is still open because the capacity was used up at the last flush.
            batcher.seal()
        self._send_batches()

    def _write(self, connection: Connection, max_bytes: int = BYTES_PER_WRITE) -> int:
        """Take the batches of one write from the batcher and write them to a connection.

        :return: how many events the batches hold.
        """
        note: Note = "resend" if self.batcher.resend else None
        taken = self.batcher.take(max_bytes)
        now = self._loop.time()
        self._confirmations.count_sent(len(taken))
        first, last = taken[0], taken[-1]
        end = last.offset + last.count
        answered = None
        if self.pace.is_on or self._confirmations.is_due(now):
            answered = self._expect_pong(connection, end, now)
        for members in _split_where_discarded(taken):
            self.sent_bytes += connection.publish(
                self.incarnation,
                members[0].discarded,
                members,
                connection=self.empty_batches.number,
                note=note,
                answered=answered if members[-1] is last else None,
            )
        self.last_sent = now
        return end - first.offset

    def resume(self) -> None:
        """Continue sending when the socket is writable again."""
        self._send_batches()

    # ---------------------------------------------------------------------- confirmations

    def _confirm_later(self) -> None:
        timer = self._confirmation_timer
        if (
            self.batcher.window
            and not self._confirmations.is_pinging
            and (timer is None or timer.when() < self._loop.time())
        ):
            self._confirmation_timer = self._loop.call_later(CONFIRMATION_PAUSE, self._confirm)

    def _confirm(self) -> None:
        """Send a PING that confirms the whole window."""
        self._confirmation_timer = None
        window = self.batcher.window
        if self._connection is not None and not self._confirmations.is_pinging and window:
            last = window[-1]
            self._ping(self._connection, last.offset + last.count)

    def check_alive(self) -> None:
        """Send a PING unless one is unanswered, so that a silent server is detected."""
        if self._connection is not None and not self._confirmations.is_pinging:
            self._ping(self._connection, self.batcher.next_offset)

    def _expect_pong(self, connection: Connection, up_to: int, now: float) -> Callable[[], None]:
        self._confirmations.add_ping(up_to, now)
        refusals = self._refusals
        return lambda: self._answered(connection, up_to, refusals)

    def _ping(self, connection: Connection, up_to: int) -> None:
        connection.ping(self._expect_pong(connection, up_to, self._loop.time()))

    def _answered(self, connection: Connection, up_to: int, refusals: int) -> None:
        """Handle a PONG: confirm the events before number ``up_to``."""
        # A PING that was sent before a refusal may follow batches that the server did not accept.
        if connection is not self._connection or refusals != self._refusals:
            return
        batcher, confirmations = self.batcher, self._confirmations
        if batcher.window:
            batcher.confirm(up_to, self._clock())
            self._begin_pace()
        confirmations.answer(up_to)
        self._continue()
        self._waiting.wake()
        if not confirmations.is_pinging:
            if confirmations.has_flushes and batcher.next_offset > up_to:
                self._ping(connection, batcher.next_offset)
            elif confirmations.is_window_large:
                self._confirm()
            else:
                self._confirm_later()


def _split_where_discarded(batches: list[SealedBatch]) -> list[list[SealedBatch]]:
    """Split a list of batches at each place where events were discarded in between."""
    if batches[0].discarded == batches[-1].discarded:
        return [batches]
    return [list(members) for _, members in groupby(batches, attrgetter("discarded"))]
