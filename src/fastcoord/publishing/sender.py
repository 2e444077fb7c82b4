"""Seal batches, send them, keep them until the server has confirmed them, and resend them."""

from __future__ import annotations

import asyncio
import logging
from itertools import groupby
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING

from fastcoord._clock import clock_of
from fastcoord._deadline import within
from fastcoord.errors import NodeClosed
from fastcoord.nats.frames import HEADER_ALLOWANCE
from fastcoord.publishing.batch_age import BatchAge
from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.caller import CallerCheck
from fastcoord.publishing.confirmation import CONFIRMATION_PAUSE, Confirmations
from fastcoord.publishing.empty_batches import EmptyBatches
from fastcoord.publishing.pace import Pace
from fastcoord.publishing.waiting_publishers import WaitingPublishers

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.config import Config
    from fastcoord.errors import PermissionDenied
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.publishing.node_state import NodeState
    from fastcoord.wire.sealed_batch import SealedBatch

__all__ = ["Sender"]

BYTES_PER_WRITE = 128 * 1024
"""How many bytes are written before the connection is asked again whether it is writable."""

DRAIN_PAUSE = 0.01
"""The seconds between two checks whether all events that were sent are confirmed."""

IDLE_SECONDS = 0.0005
"""Events that come singly and at least this many seconds apart are sent at once, although the last
one is unconfirmed."""

logger = logging.getLogger("fastcoord")


class Sender:
    """The sending side of a node.

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
        self.check_caller = self._caller.check
        self._clock = clock_of(self._loop)
        self._request_timeout = config.nats.timeout.request
        self._batch_bytes = config.nats.capacity.batch_bytes
        self._protocol = protocol
        capacity = config.nats.capacity.client
        self.batcher = Batcher(
            node_id=node_id,
            protocol=protocol,
            limit=self._batch_bytes,
            capacity=capacity,
            clock=self._clock,
            on_open=self._schedule_flush,
            on_seal=self._send_full_batches,
        )
        self._confirmations = Confirmations(self.batcher, capacity)
        self._confirmation_timer: asyncio.TimerHandle | None = None
        cluster = config.cluster
        self.empty_batches = EmptyBatches(
            self.batcher, cluster.presence_subject, cluster.subject, incarnation
        )
        self.pace = Pace(cluster.pace, protocol)
        self._pace_timer: asyncio.TimerHandle | None = None
        self._waiting = WaitingPublishers(state, self.batcher)
        self.publish_rest = self._waiting.accept
        self._age = BatchAge(self.batcher, cluster.max_age, self._clock)
        self.seconds_to_expiry = self._age.seconds_to_expiry
        self._connection: Connection | None = None
        self.has_joined = False
        """Whether the node has joined its cluster. Before, it has published nothing, so that the
        connections until then are not counted."""
        self._is_held = False
        self._is_draining = False
        self._is_refused = False
        self._is_flush_requested = False
        self._is_flush_deferred = False
        """Whether the last flush was left to the end of the pace, or to a confirmation."""
        self._is_writing = False
        self._opened_at = 0.0
        """When the first event of the last flush was published, on the clock of the batcher."""
        self._is_single = False
        """Whether the last flush sent the events of one call, not those of a busy event loop."""
        self._goodbye: asyncio.Future[None] | None = None
        """Set by ``close``: nothing more is accepted. Done when the server has the goodbye."""
        self._refusals = 0
        self._silent_since = 0.0
        """When the lost connection last showed that its server was alive."""

    # ----------------------------------------------------------------------- publishing

    async def yield_to_loop(self) -> None:
        """Let the event loop run one iteration.

        Otherwise a task that publishes without ever waiting would stop the loop from sending.
        """
        await asyncio.sleep(0)

    # ---------------------------------------------------------------- sealing and sending

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
        if self.batcher.window:
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

    def repair(self) -> None:
        """Repeat the steps that a callback skips if an exception interrupts it.

        The node calls this method at each tick. A step that was not skipped is harmless to repeat.
        """
        self._flush()
        self._waiting.wake()
        connection = self._connection
        if (
            connection is not None
            and connection.oldest_ping is None
            and self._confirmations.is_pinging
        ):
            # The PONG has arrived, but its processing was interrupted.
            self._confirmations.clear_pings()
            self.check_alive()
        self._confirm_later()

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

    def beat(self, note: Note = None, *, reply: bytes = b"", question: bytes = b"") -> None:
        """Send an empty batch with the present offset: a heartbeat, a hello or a goodbye."""
        if not self._state.is_closed and self.empty_batches.send(
            note, reply=reply, question=question
        ):
            self.last_sent = self._loop.time()

    # -------------------------------------------------------------------------------- age

    def discard_expired(self) -> int:
        """Discard the events that have waited longer than ``cluster.max-age`` for a connection.

        :return: how many events were discarded.
        """
        if self._connection is not None and not self._is_refused:
            return 0
        discarded = self._age.discard_expired()
        if discarded:
            self._flush()
            self._waiting.wake()
        return discarded

    # ---------------------------------------------------------------------- connections

    @property
    def connection(self) -> Connection | None:
        """The connection in use."""
        return self._connection

    def connected(
        self,
        connection: Connection,
        *,
        repeat: float | None,
        hold: bool,
        greet: Callable[[], object],
    ) -> int:
        """Use a new connection, and first send what the last connection left unconfirmed.

        :param repeat: how many seconds of confirmed batches are sent again, too, counted back from
            the time at which the last connection became silent; ``None`` for no such batches.
        :param hold: whether to send no events before ``release``.
        :param greet: called when empty batches can be sent, before the first event is sent: if the
            server refuses the event, the hello has not shown its offset.
        :return: how many events were discarded because they are too large for this server.
        """
        batcher = self.batcher
        if self._connection is not None:
            # An exception kept the caller from reporting the loss of the last connection.
            self.disconnected()
        batcher.repeat(inf if repeat is None else self._silent_since - repeat)
        discarded = self.limit_batches(connection.max_payload)
        self._is_held = hold
        if self.has_joined:
            self.empty_batches.number += 1
        self._connection = self.empty_batches.connection = connection
        greet()
        self._flush()
        if self._confirmations.has_flushes:
            self.check_alive()
        if not batcher.waiting:
            self._say_goodbye()
        self._waiting.wake()
        return discarded

    def refused(self, reason: PermissionDenied) -> None:
        """Keep all batches until the server permits publishing again.

        The caller must call this before it handles the PONGs of the batches that the server may
        have refused.

        :param reason: the exception that ``publish`` and ``flush`` raise until then.
        """
        self._state.refuse(reason)
        self._refusals += 1
        if not self._is_refused and not self._is_held:
            self._age.restart()
        self._is_refused = True
        self._confirmations.clear_pings()
        self.batcher.rewind()
        self._confirmations.end(reason)
        self._waiting.wake_all()

    def permitted(self) -> None:
        """Send the waiting batches when the server permits publishing again."""
        if self._is_refused:
            self._is_refused = False
            self._state.permit()
            self._flush()
            self._waiting.wake()

    def limit_batches(self, max_payload: int) -> int:
        """Limit batches to the largest message that the server accepts.

        :param max_payload: the size of that message, in bytes.
        :return: how many events were discarded because they are larger.
        """
        limit = max_payload - HEADER_ALLOWANCE
        self.batcher.set_limit(min(self._batch_bytes, limit))
        return self.batcher.split_larger(limit, self._protocol)

    def release(self) -> None:
        """Send the held events when all peers have reconnected or count as down."""
        if self._is_held:
            self._is_held = False
            self._flush()

    def disconnected(self) -> None:
        """Keep all batches until there is another connection."""
        connection = self._connection
        if connection is not None:
            now = self._clock()
            if not self._is_held and not self._is_refused:
                self._age.restart()
            self._silent_since = now - max(0.0, self._loop.time() - connection.last_activity)
        # The next connection may have the right to publish.
        self._is_refused = False
        self._state.permit()
        self._confirmations.clear_pings()
        self.batcher.rewind()
        # Reset last: while this is set, the caller calls ``disconnected`` again if an exception
        # interrupted it.
        self.empty_batches.connection = None
        self._connection = None

    # ------------------------------------------------------------------- another node id

    def begin_drain(self) -> None:
        """Send no further events, except those that a connection has taken before."""
        self._is_draining = True

    def end_drain(self) -> None:
        """Send all events again."""
        if self._is_draining:
            self._is_draining = False
            self._flush()
            if self._confirmations.has_flushes:
                self.check_alive()

    async def drain(self) -> None:
        """Wait until a new run can begin: every event that was sent is confirmed."""
        batcher = self.batcher
        while self._connection is None or self._is_refused or batcher.window or batcher.resend:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_PAUSE)

    def begin_run(self, node_id: int, incarnation: int) -> None:
        """End the present run with a goodbye, and continue as another one with another node id.

        ``drain`` must have returned just before. The events that wait belong to the new run.
        """
        # The PONGs of PINGs that were sent before confirm nothing of the new run.
        self._refusals += 1
        self.empty_batches.begin_run(incarnation)
        first = self.batcher.first_unsent
        self.batcher.rename(node_id)
        self._confirmations.begin_run(first, self.batcher.end)
        self.empty_batches.renamed()
        self.incarnation = incarnation
        self._caller.name = f"node {node_id}"

    # -------------------------------------------------------------------------- flushing

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until the server has confirmed every event that was accepted before this call.

        :param timeout: seconds; by default ``timeout.request`` of the configuration.
        :raises RequestTimeout: an event was not confirmed in time; it is kept and sent again.
        :raises PermissionDenied: the server does not permit publishing; the events are kept.
        """
        self._state.check_publishing()
        seconds = self._request_timeout if timeout is None else timeout
        await self._confirmations.wait(seconds, self._begin_flush, self._unconfirmed_because)

    def _begin_flush(self) -> None:
        self._flush()
        self.check_alive()

    # ---------------------------------------------------------------------------- ending

    async def close(self, deadline: float) -> None:
        """Send the waiting batches and a goodbye, and wait until the server has confirmed both.

        Nothing is accepted any more when the goodbye is sent.

        :param deadline: a time on the event loop's clock.
        :raises RequestTimeout: the server did not confirm both before ``deadline``.
        """
        self.release()
        await self.flush(max(0.0, deadline - self._loop.time()))
        # An event behind the goodbye would show the peers a node that is up.
        self._goodbye = self._loop.create_future()
        self._state.end(NodeClosed(f"{self._caller.name} is closed"))
        self._waiting.wake_all()
        if self.batcher.waiting:
            await self._confirmations.wait(
                max(0.0, deadline - self._loop.time()), self._begin_flush, self._unconfirmed_because
            )
        self._say_goodbye()
        await within(self._goodbye, max(0.0, deadline - self._loop.time()))

    def _say_goodbye(self) -> None:
        """Send the goodbye and a PING that confirms it, on this or on the next connection."""
        connection, goodbye = self._connection, self._goodbye
        if connection is not None and goodbye is not None:
            self.empty_batches.send("goodbye")
            connection.ping(lambda: None if goodbye.done() else goodbye.set_result(None))

    def _unconfirmed_because(self) -> str:
        return "the server did not confirm" if self._connection else "there is no connection"

    def end(self) -> None:
        """Wake every waiting publisher and flush. Each raises the exception that ended the node."""
        for timer in (self._confirmation_timer, self._pace_timer):
            if timer is not None:
                timer.cancel()
        self._goodbye = None
        self._waiting.wake_all()
        if self._state.ended is not None:
            self._confirmations.end(self._state.ended)


def _split_where_discarded(batches: list[SealedBatch]) -> list[list[SealedBatch]]:
    """Split a list of batches at each place where events were discarded in between."""
    if batches[0].discarded == batches[-1].discarded:
        return [batches]
    return [list(members) for _, members in groupby(batches, attrgetter("discarded"))]
