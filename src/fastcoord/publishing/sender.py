"""Seals batches, sends them, keeps them until the server has confirmed them, and resends them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING

from fastcoord._deadline import within
from fastcoord.errors import RequestTimeout
from fastcoord.nats.frames import HEADER_ALLOWANCE
from fastcoord.publishing.batcher import Batcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.config import Config
    from fastcoord.events import Event
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.publishing.node_state import NodeState

__all__ = ["Sender"]

BYTES_PER_WRITE = 128 * 1024
"""How much is handed to the socket before looking again whether it takes more."""

CONFIRMATION_PAUSE = 0.005
"""Seconds between two requests for confirmation while little is sent."""

WINDOW_TO_CONFIRM = 16
"""Unconfirmed batches at which confirmation is requested without such a pause."""

PINGS_UNDER_WAY = 8
"""Pings for confirmation that may be unanswered at once. Each lets go of its part of the window,
so that small batches never wait for a whole window to go there and back."""


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
        self._thread = threading.get_ident()
        self._request_timeout = config.nats.timeout.request
        self._batch_bytes = config.nats.capacity.batch_bytes
        capacity = config.nats.capacity.client
        self._batches_per_ping = max(WINDOW_TO_CONFIRM, capacity // PINGS_UNDER_WAY)
        self.batcher = Batcher(
            node_id=node_id,
            protocol=protocol,
            limit=self._batch_bytes,
            capacity=capacity,
            on_open=self._on_open,
            on_seal=self._on_seal,
        )
        self._empty = self.batcher.empty_payload()
        self._pings: deque[float] = deque()
        self._last_ping = 0.0
        self._sent_since_ping = 0
        self._confirmation: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None
        self._resend_until = 0
        self._is_held = False
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []

    # ----------------------------------------------------------------------- publishing

    async def yield_to_loop(self) -> None:
        """Run one iteration of the event loop, for a task that published a lot without waiting."""
        await asyncio.sleep(0)

    async def publish_rest(self, prepared: tuple[Event, ...], done: int) -> None:
        """Wait for capacity, behind all publishers that wait already, until all are accepted."""
        while done < len(prepared):
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            self._state.set_waiting(len(self._waiters))
            self._wake_next()
            try:
                await waiter
                self._state.check()
                done = self.batcher.add_from(prepared, done)
            finally:
                self._waiters.remove(waiter)
                self._state.set_waiting(len(self._waiters))
                # If this task was cancelled, the next one takes the capacity.
                self._wake_next()

    def _wake_next(self) -> None:
        if self._waiters and not self.batcher.is_full and not self._waiters[0].done():
            self._waiters[0].set_result(None)

    # ---------------------------------------------------------------- sealing and sending

    def _on_open(self) -> None:
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._flush_open)
        else:
            self._loop.call_soon_threadsafe(self._flush_open)

    def _on_seal(self) -> None:
        if threading.get_ident() == self._thread:
            self._pump()
        else:
            self._loop.call_soon_threadsafe(self._flush_open)

    def _flush_open(self) -> None:
        """Seal the open batch and send what the connection takes."""
        self.batcher.begin_flush(self._loop.time())
        self.batcher.seal()
        self._pump()

    def _pump(self) -> None:
        connection = self._connection
        batcher = self.batcher
        if connection is None or self._is_held or not batcher.queue:
            return
        try:
            while batcher.queue and connection.is_writable:
                self._send(connection)
        except BaseException:
            # A signal's handler raised, or there is no memory: what was taken may not be written,
            # and no PONG of this connection may confirm it.
            connection.abort("sending was interrupted")
            raise
        self._confirm_later()

    def _send(self, connection: Connection) -> None:
        """Hand what one write carries to a connection."""
        batcher = self.batcher
        now = self._loop.time()
        resend = batcher.queue[0].offset < self._resend_until
        taken = batcher.take(BYTES_PER_WRITE if not resend else 1)
        self._sent_since_ping += len(taken)
        answered = None
        if self._confirmation_is_due(now):
            last = taken[-1]
            answered = self._expect(connection, last.offset + last.count, now)
        self.sent_bytes += connection.publish(
            self.incarnation,
            batcher.discarded,
            taken,
            note="resend" if resend else None,
            answered=answered,
        )
        self.last_sent = now

    def _confirmation_is_due(self, now: float) -> bool:
        """Say whether a PING should go with what is sent now.

        A single event now and then shares one with those of the next few milliseconds. Under load
        one follows the other at once, and more are under way where batches are many and small.
        """
        if self._pings:
            return (
                self._sent_since_ping >= self._batches_per_ping
                and len(self._pings) < PINGS_UNDER_WAY
            )
        return (
            bool(self._flushes)
            or len(self.batcher.window) >= WINDOW_TO_CONFIRM
            or now - self._last_ping >= CONFIRMATION_PAUSE
        )

    def _confirm_later(self) -> None:
        if self.batcher.window and not self._pings and self._confirmation is None:
            self._confirmation = self._loop.call_later(CONFIRMATION_PAUSE, self._confirm)

    def _confirm(self) -> None:
        """Ask for the confirmation of everything that is in the window."""
        self._confirmation = None
        window = self.batcher.window
        if self._connection is not None and not self._pings and window:
            last = window[-1]
            self._ping(self._connection, last.offset + last.count)

    @property
    def pinged_at(self) -> float | None:
        """When the oldest PING that is not answered was sent; ``None`` when all are."""
        return self._pings[0] if self._pings else None

    def restart_ping_timeouts(self, now: float) -> None:
        """Count the time that PINGs wait for their answers from now on."""
        self._pings = deque([now] * len(self._pings))

    def _expect(self, connection: Connection, up_to: int, now: float) -> Callable[[], None]:
        self._pings.append(now)
        self._last_ping = now
        self._sent_since_ping = 0
        return lambda: self._answered(connection, up_to)

    def _ping(self, connection: Connection, up_to: int) -> None:
        connection.ping(self._expect(connection, up_to, self._loop.time()))

    def _answered(self, connection: Connection, up_to: int) -> None:
        if connection is not self._connection:
            return
        self._pings.popleft()
        self.batcher.confirm(up_to)
        for flush in [flush for flush in self._flushes if flush[0] <= up_to]:
            self._flushes.remove(flush)
            if not flush[1].done():
                flush[1].set_result(None)
        if (
            self.batcher.open_count
            and not self.batcher.is_flush_scheduled
            and not self.batcher.is_full
        ):
            # It stayed open only because there was no room to seal it.
            self.batcher.seal()
            self._pump()
        self._wake_next()
        if not self._pings:
            if self._flushes and self._first_unsent() > up_to:
                self._ping(connection, self._first_unsent())
            elif len(self.batcher.window) >= WINDOW_TO_CONFIRM:
                self._confirm()
            else:
                self._confirm_later()

    def _first_unsent(self) -> int:
        queue = self.batcher.queue
        return queue[0].offset if queue else self.batcher.offset

    def writable(self) -> None:
        """Hear that the socket takes bytes again."""
        self._pump()

    def check_alive(self) -> None:
        """Have a PING under way, so that a server that has gone silent is found out."""
        if self._connection is not None and not self._pings:
            self._ping(self._connection, self._first_unsent())

    def beat(self, note: Note = None) -> None:
        """Say with an empty batch that this node is there, and how far it has come."""
        if self._connection is None:
            return
        offset = self._first_unsent()
        if note is None and offset < self._resend_until:
            # It looks back on what peers may know to be missing: no news that the count went back.
            note = "resend"
        self._connection.publish_empty(
            self._empty, self.incarnation, offset, self.batcher.discarded, note=note
        )
        self.last_sent = self._loop.time()

    def discard_older(self, deadline: float) -> int:
        """Discard what was sealed before ``deadline`` and still has no connection."""
        gone = self.batcher.discard_before(deadline)
        if gone:
            self._wake_next()
        return gone

    # ---------------------------------------------------------------------- connections

    def connected(self, connection: Connection, *, recent_since: float, hold: bool) -> int:
        """Use a connection: what was sent and not confirmed on the one before goes first.

        :param recent_since: what was confirmed, but sealed after this time, is sent again as well.
        :param hold: send no events before ``release``.
        :return: how many events had to be discarded because this server takes no message so large.
        """
        self._connection = connection
        self._pings.clear()
        batcher = self.batcher
        batcher.repeat(recent_since)
        self._is_held = hold
        gone = self.limit_batches(connection.max_payload)
        # Peers learn at once that this node is there, and how far it is; their answers tell it the
        # same of them.
        self.beat("hello")
        self._flush_open()
        if self._flushes:
            self.check_alive()
        self._wake_next()
        return gone

    def limit_batches(self, max_payload: int) -> int:
        """Follow the largest message that the server accepts, in bytes.

        :return: how many events were discarded because their batch is larger.
        """
        limit = max_payload - HEADER_ALLOWANCE
        self.batcher.set_limit(min(self._batch_bytes, limit))
        return self.batcher.discard_larger(limit)

    def release(self) -> None:
        """Send what was held: the peers can hear it now, or will not come."""
        if self._is_held:
            self._is_held = False
            self._flush_open()

    def disconnected(self) -> None:
        """Keep everything until there is another connection."""
        self._connection = None
        self._pings.clear()
        # What was sent before may arrive twice; everything else is new. Batches that an earlier
        # connection has sent may still be queued, if the last one broke before they were resent.
        self._resend_until = max(self._resend_until, self._first_unsent())
        # Back in the queue at once: there it grows old, and makes room, like all that waits.
        self.batcher.rewind()

    # -------------------------------------------------------------------------- flushing

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until the server has everything that was accepted before this call.

        :raises RequestTimeout: it was not confirmed in time; it is kept, and sent again.
        """
        self._state.check()
        seconds = self._request_timeout if timeout is None else timeout
        discarded = self.batcher.discarded
        self._flush_open()
        confirmed = self._loop.create_future()
        flush = (self.batcher.accepted, confirmed)
        self._flushes.append(flush)
        self.check_alive()
        try:
            await within(confirmed, seconds)
        except TimeoutError:
            waiting = self.batcher.waiting
            state = "the server did not confirm" if self._connection else "there is no connection"
            gone = self.batcher.discarded - discarded
            lost = f", {gone} were discarded" if gone else ""
            raise RequestTimeout(
                f"flush: {state} within {seconds:g} s; {waiting} events are kept and sent again"
                f"{lost}"
            ) from None
        finally:
            if flush in self._flushes:
                self._flushes.remove(flush)
        gone = self.batcher.discarded - discarded
        if gone:
            raise RequestTimeout(f"flush: {gone} events were discarded before they were confirmed")

    # ---------------------------------------------------------------------------- ending

    async def close(self, deadline: float) -> None:
        """Send what waits and say goodbye, both confirmed, before ``deadline``.

        :raises RequestTimeout: that could not be done in time.
        """
        await self.flush(max(0.0, deadline - self._loop.time()))
        self.beat("goodbye")
        await self.flush(max(0.0, deadline - self._loop.time()))

    def end(self) -> None:
        """Wake everyone who waits; each finds in the state what has ended the node."""
        if self._confirmation is not None:
            self._confirmation.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        reason = self._state.ended
        for _, confirmed in self._flushes:
            if not confirmed.done() and reason is not None:
                confirmed.set_exception(reason)
