"""The sending side of a node: its connections, what is sent again, flushes and the end."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from fastcoord._deadline import within
from fastcoord.errors import NodeClosed
from fastcoord.nats.frames import HEADER_ALLOWANCE
from fastcoord.publishing.batch_age import BatchAge
from fastcoord.publishing.batch_writer import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.config import Config
    from fastcoord.errors import PermissionDenied
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.publishing.node_state import NodeState

__all__ = ["Sender"]

DRAIN_PAUSE = 0.01
"""The seconds between two checks whether all events that were sent are confirmed."""


class Sender(BatchWriter):
    """The sending side of a node.

    :param config: the configuration.
    :param incarnation: this run of the node.
    :param state: stores what has ended the node.
    """

    def __init__(
        self, config: Config, *, node_id: int, protocol: str, incarnation: int, state: NodeState
    ) -> None:
        super().__init__(
            config, node_id=node_id, protocol=protocol, incarnation=incarnation, state=state
        )
        self.check_caller = self._caller.check
        self.publish_rest = self._waiting.accept
        self._request_timeout = config.nats.timeout.request
        self._batch_bytes = config.nats.capacity.batch_bytes
        self._protocol = protocol
        self._age = BatchAge(self.batcher, config.cluster.max_age, self._clock)
        self.seconds_to_expiry = self._age.seconds_to_expiry
        self.has_joined = False
        """Whether the node has joined its cluster. Before, it has published nothing, so that the
        connections until then are not counted."""
        self._silent_since = 0.0
        """When the lost connection last showed that its server was alive."""

    # ----------------------------------------------------------------------- publishing

    async def yield_to_loop(self) -> None:
        """Let the event loop run one iteration.

        Otherwise a task that publishes without ever waiting would stop the loop from sending.
        """
        await asyncio.sleep(0)

    def repair(self) -> None:
        """Repeat the steps that a callback skips if an exception interrupts it.

        The node calls this method at each tick. A step that was not skipped is harmless to repeat.
        """
        self._flush()
        self._waiting.wake()
        connection = self._connection
        if connection is not None and connection.oldest_ping is None:
            # If a PONG has arrived, its processing was interrupted.
            if self._is_probe_unconfirmed:
                self._probe_confirmed(connection)
            if self._confirmations.is_pinging:
                self._confirmations.clear_pings()
                self.check_alive()
        self._confirm_later()

    def beat(self, note: Note = None, *, reply: bytes = b"", question: bytes = b"") -> None:
        """Send an empty batch with the present offset: a heartbeat, a hello or a goodbye."""
        if not self._state.is_closed and self.empty_batches.send(
            note, reply=reply, question=question
        ):
            self.last_sent = self._loop.time()

    def probe(self, trace: str, answer: bytes) -> None:
        """Test the right to publish events; see ``EmptyBatches.probe``."""
        self.empty_batches.probe(trace, answer)
        connection = self._connection
        if connection is not None and connection.delivers_traced:
            # Stalwart nodes receive it, too, and must be left time to subscribe again.
            self.pace.sent(0, self._loop.time())
            self._is_probe_unconfirmed = True
            connection.ping(lambda: self._probe_confirmed(connection))

    def _probe_confirmed(self, connection: Connection) -> None:
        if connection is self._connection:
            self._is_probe_unconfirmed = False
            self._begin_pace()
            self._continue()

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
        self._is_probe_unconfirmed = False
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
        :raises TimeoutError: the server did not confirm both before ``deadline``.
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
