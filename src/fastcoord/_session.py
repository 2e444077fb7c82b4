"""The internal part of ``Node``: creates the components and passes calls between them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from msgspec import structs

from fastcoord._clock import clock_of
from fastcoord._forking import call_in_child, detach_loop
from fastcoord._liveness import Liveness
from fastcoord._subscriptions import Subscriptions
from fastcoord.config import doubtful_settings
from fastcoord.errors import ConnectionLost, NodeClosed, PermissionDenied, StreamError
from fastcoord.events import Disconnected, DuplicateNodeId, Missed, Reconnected
from fastcoord.nats.connection import EVENTS_SID
from fastcoord.nats.jetstream import FIRST_REPLY_SID
from fastcoord.nats.supervisor import Supervisor
from fastcoord.presence.own_id import OwnId, draw, new_incarnation
from fastcoord.presence.presence import PRESENCE_SID, REPLY_SID, Presence
from fastcoord.publishing.hold import Hold
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.pace import SECONDS_PRESENT
from fastcoord.publishing.sender import Sender
from fastcoord.receiving.receiver import Receiver
from fastcoord.receiving.rules import Rules
from fastcoord.reporting.cluster_errors import ClusterErrors
from fastcoord.reporting.loss_log import LossLog
from fastcoord.reporting.node_stats import NodeStats
from fastcoord.stats import Health
from fastcoord.streaming.sender import StreamSender
from fastcoord.streaming.session import StreamSession
from fastcoord.streaming.start import read_since
from fastcoord.streaming.stream_receiver import StreamReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.rights import Right
    from fastcoord.presence.questions import Answer
    from fastcoord.receiving.consumer import Consumer, Kinds, Overflow
    from fastcoord.stats import Peer, Stats
    from fastcoord.streaming.start import Since

__all__ = ["Session"]

INCARNATION_BITS = 42
"""The size of the random incarnation. 42 bits take seven digits in the sequence header."""

logger = logging.getLogger("fastcoord")


class Session:
    """One run of a node.

    :param config: the configuration, with the arguments of ``connect`` applied.
    """

    def __init__(self, config: Config) -> None:
        loop = asyncio.get_running_loop()
        self.config = config
        self.is_auto = config.cluster.node_id == "auto"
        if self.is_auto:
            self.node_id, self.incarnation = draw(()), new_incarnation()
            drawn = structs.replace(config.cluster, node_id=self.node_id)
            config = structs.replace(config, cluster=drawn)
        else:
            self.node_id = int(config.cluster.node_id)
            self.incarnation = secrets.randbits(INCARNATION_BITS) | 1
        cluster = config.cluster
        self.state = NodeState()
        self._loop = loop
        self.clock = clock_of(loop)
        """Returns the time in seconds. Any thread may call it."""
        self.name = f"node {self.node_id}"
        is_streaming = cluster.stream is not None
        self._errors = ClusterErrors(cluster, self.name)
        self._rules = Rules(
            heartbeat=cluster.heartbeat,
            started_at=loop.time(),
            watcher=self,
            # A stream has what is missing here.
            reports_losses=not is_streaming,
        )
        self._receiver = (StreamReceiver if is_streaming else Receiver)(
            node_id=self.node_id,
            incarnation=self.incarnation,
            protocol=cluster.protocol,
            deliver_own=not config.nats.no_echo,
            rules=self._rules,
            on_request=self._on_request,
            on_question=self._on_question,
        )
        self._receiver.events_sid = EVENTS_SID
        self._receiver.presence_sid = PRESENCE_SID
        self._receiver.reply_sid = REPLY_SID
        self._rules.attach(self._receiver)
        self.sender = (StreamSender if is_streaming else Sender)(
            config,
            node_id=self.node_id,
            protocol=cluster.protocol,
            incarnation=self.incarnation,
            state=self.state,
        )
        self._stream: StreamSession | None = None
        if isinstance(self._receiver, StreamReceiver) and isinstance(self.sender, StreamSender):
            self._stream = StreamSession(config, self._receiver, self.sender, self)
        self._presence = Presence(
            config,
            incarnation=self.incarnation,
            sender=self.sender,
            receiver=self._receiver,
            rules=self._rules,
            received_by=(self._rules if self._stream is None else self._stream).received_by,
            without_presence=self._errors.without_presence,
            same_id=self._take_same_id if self.is_auto else None,
        )
        self._own_id = OwnId(self, self._presence, self.sender)
        self._supervisor = Supervisor(config, self._receiver, self)
        self._liveness = Liveness(
            cluster.heartbeat,
            self._supervisor,
            self.sender,
            self._presence,
            self._rules,
            self._on_tick,
        )
        self._subscriptions = Subscriptions(config, self._receiver)
        self._loss_reason = ""
        self._losses = LossLog(self.name)
        self._stats = NodeStats(
            sender=self.sender,
            receiver=self._receiver,
            supervisor=self._supervisor,
            presence=self._presence,
            stream=self._stream,
            subscriptions=self._subscriptions,
            losses=self._losses,
            errors=self._errors,
            heartbeat=cluster.heartbeat,
        )
        self._is_duplicate_unreported = False
        self._closing: asyncio.Task[int] | None = None
        self.is_forked = False
        call_in_child(self)
        self._hold = Hold(cluster.heartbeat, self.peers_are_back)
        self._has_joined = False
        self._stalwart_received_at: float | None = None

    async def start(self) -> None:
        """Connect to a server and subscribe.

        :raises ConnectError: no server could be joined.
        :raises StreamError: the stream of ``cluster.stream`` does not exist or cannot be used.
        """
        try:
            await self._supervisor.start()
            if self.is_auto:
                await self._own_id.settle()
                await self._presence.prove_right()
            await self._presence.prove_join()
            if self._stream is not None:
                await self._stream.start()
        except BaseException:
            if not self._presence.is_silent:
                # Peers may have received the hello. Nothing waits for the server.
                self.sender.beat("goodbye")
            self._end(NodeClosed(f"node {self.node_id} has not joined"))
            await self._close_stream()
            await self._supervisor.close()
            raise
        for doubt in doubtful_settings(self.config):
            logger.warning("%s: %s", self.name, doubt)
        self._has_joined = self.sender.has_joined = True
        self._liveness.start()

    # ---------------------------------------------------------------------- subscriptions

    def subscribe(
        self,
        *,
        kinds: Kinds | None,
        overflow: Overflow,
        peers: bool,
        connection: bool,
        name: str | None,
        since: Since | None,
    ) -> Consumer:
        """Create the consumer of a new subscription."""
        self.state.check()
        stream = self._stream
        start = None
        if since is not None:
            start = read_since(since, datetime.now(timezone.utc))
            if stream is None:
                raise StreamError(
                    "subscribe(since=...) needs a stream that stores the events: set cluster.stream"
                )
        consumer = self._subscriptions.open(
            kinds=kinds,
            overflow=overflow,
            peers=peers,
            connection=connection,
            name=name,
            is_live=start is None,
        )
        if self._is_duplicate_unreported:
            self._is_duplicate_unreported = False
            self._receiver.notify(DuplicateNodeId(self.node_id))
        if stream is not None:
            stream.subscribed()
            consumer.start_behind(stream.feed.sequence)
            if start is not None:
                consumer.start_behind(start.sequence or 0)
                stream.replay(consumer.ring, start)
        return consumer

    # ------------------------------------------------------------------------------ stats

    @property
    def is_closing(self) -> bool:
        """Whether ``close`` was called, or this process is a forked child."""
        return self._closing is not None or self.is_forked

    @property
    def server(self) -> str | None:
        """The server of the open connection, or ``None``."""
        connection = self._supervisor.connection
        return None if connection is None or self.is_forked else str(connection.server)

    def confirm_subscriptions(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the server has processed the subscriptions of this connection.

        It is not called if there is no connection, or if the connection is lost before.
        """
        connection = self._supervisor.connection
        if connection is not None:
            connection.ping(callback)

    @property
    def stream(self) -> StreamSession | None:
        """What the node receives from its stream; ``None`` on plain NATS."""
        return self._stream

    def stats(self) -> Stats:
        """Return the stats of the node now."""
        return self._stats.stats(self.node_id, self.incarnation, self.server)

    def peers(self) -> tuple[Peer, ...]:
        """Return the stats of every other node, by node id."""
        return self._stats.peers(self.node_id, self._loop.time())

    def health(self) -> Health:
        """Return whether the node works, with the reasons if it does not."""
        if self.state.ended is not None:
            return Health(reasons=(str(self.state.ended),))
        return self._stats.health(self._loss_reason, self._loop.time())

    async def ping(self, node_id: int) -> float:
        """Send a ping to another node and return the round-trip time in seconds."""
        self.state.check()
        return await self._presence.questions.ping(node_id, self.config.nats.timeout.request)

    async def flush_peers(self) -> frozenset[int]:
        """Wait until every peer that is up has received all events accepted before this call.

        :return: the ids of these peers.
        :raises PeersUnconfirmed: a peer has not received all of them.
        """
        accepted, incarnation = self.sender.batcher.end, self.incarnation
        deadline = self._loop.time() + self.config.nats.timeout.request
        await self.sender.flush()
        if incarnation != self.incarnation:
            # A new run has begun, which counts from 0.
            accepted = self.sender.batcher.end
        return await self._presence.confirm(accepted, deadline)

    # ----------------------------------------------------------- called by the receiving side

    def _on_request(self, sid: int, reply: bytes, payload: bytes) -> None:
        """Pass a message of another subscription to the stream."""
        if sid >= FIRST_REPLY_SID and self._stream is not None:
            self._stream.take(sid, payload)

    def _on_question(self, *question: Any) -> None:
        self._presence.take(*question)

    def missed(self, missed: Missed) -> None:
        self._losses.note(missed)

    # ---------------------------------------------------------------------------- node id

    @property
    def peer_ids(self) -> Container[int]:
        """The ids of the nodes from which something was received."""
        return self._receiver.peers

    def begin_run(self, node_id: int) -> None:
        """Continue as another run with this id."""
        self.node_id, self.incarnation = node_id, new_incarnation()
        self.sender.begin_run(node_id, self.incarnation)
        self._receiver.rename(node_id, self.incarnation)
        self._rules.begin_run()
        self._presence.begin_run(node_id, self.incarnation)
        self.name = self._supervisor.name = self._losses.name = self._errors.name = (
            f"node {node_id}"
        )
        if self._stream is not None:
            self._stream.name = self.name

    def lost_by_same_id(self, other: Answer) -> None:
        """Report that events of a node may have been dropped because it had the same id."""
        missed = Missed(other.node_id, None, "gap")
        self.missed(missed)
        self._receiver.notify(missed)
        if self._stream is None and other.node_id != self.node_id:
            self._rules.introduced(
                other.node_id,
                other.incarnation,
                other.connection,
                other.offset,
                other.discarded,
            )

    def _take_same_id(self, answer: Answer) -> bool:
        return self._own_id.same_id(answer)

    # ---------------------------------------------------------------- called by the rules

    def duplicate_node_id(self, node_id: int) -> None:
        # A node often finds out while it joins, before its program can subscribe.
        if node_id == self.node_id and not self._receiver.rings:
            self._is_duplicate_unreported = True
        self._errors.duplicate_node_id(node_id)

    def protocol_mismatch(self, node_id: int, protocol: str) -> None:
        self._errors.protocol_mismatch(node_id, protocol)

    def stalwart_received(self, now: float) -> None:
        self._stalwart_received_at = now
        if not self.sender.pace.is_on:
            self._update_pace(now)

    def verify(self, node_id: int) -> bool:
        is_asked = self._presence.verify(node_id)
        if is_asked and self.is_auto and node_id == self.node_id:
            # The other node may change its id before it answers. What it has sent was dropped.
            missed = Missed(node_id, None, "gap")
            self.missed(missed)
            self._receiver.notify(missed)
        return is_asked

    def _update_pace(self, now: float) -> None:
        pace = self.sender.pace
        if pace.update(self._stalwart_received_at, now):
            logger.warning(
                "%s: a Stalwart node of version 0.14 or 0.15 is on %s: from now on, messages with"
                " events are sent at least %g ms apart (cluster.pace); Stalwart 0.16 needs no pace",
                self.name,
                self.config.cluster.subject,
                pace.seconds * 1000,
            )

    def peers_are_back(self) -> None:
        # The hold is cancelled last: until then its limit repeats this method if an exception
        # interrupts it.
        self.sender.release()
        self._rules.awaited.clear()
        self._hold.cancel()

    # ---------------------------------------------------------------- called by the supervisor

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
        if discarded:
            logger.error(
                "%s: %d events discarded: %s accepts no message of more than %d bytes",
                self.name,
                discarded,
                connection.server,
                connection.max_payload,
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

    # ------------------------------------------------------------------------------- time

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

    def _on_tick(self, now: float) -> None:
        self._repair(now)
        if self._stream is not None:
            self._stream.tick(now)
        self._update_pace(now)
        self._errors.tick(now)
        self._losses.report(self._subscriptions.missed)
        self._subscriptions.tick(now)
        discarded = self.sender.discard_expired()
        if discarded:
            logger.warning(
                "%s: %d events discarded: they waited longer than cluster.max-age",
                self.name,
                discarded,
            )

    # ---------------------------------------------------------------------------- ending

    def forked(self) -> None:
        """End the node in a forked child. The parent continues to use its node."""
        self.is_forked = True
        detach_loop(self._loop)
        self.state.end(NodeClosed("forked: connect again in this process"))
        self._supervisor.abandon()
        self._liveness.stop()
        self._hold.cancel()

    def abandon(self, how: str = "abandoned") -> None:
        """End a node without a goodbye, because the program no longer refers to it.

        The garbage collector calls this, in any thread.

        :param how: the word for the errors of later calls.
        """
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._abandon, how)

    def _abandon(self, how: str) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(
                self._drop_everything(how), name=f"fastcoord {self.name} {how}"
            )

    async def _drop_everything(self, how: str) -> int:
        await self._own_id.end()
        self._end(NodeClosed(f"node {self.node_id} was {how}"))
        await self._close_stream()
        await self._supervisor.close()
        return self.sender.batcher.waiting

    def check_caller(self) -> None:
        """Raise unless the call comes from the node's event loop and process."""
        if self.is_forked:
            self.state.check()
        self.sender.check_caller()

    def _end(self, reason: Exception) -> None:
        self.state.end(reason)
        self.sender.end()
        self._presence.end(reason)
        if self._stream is not None:
            self._stream.end(reason)
        self._subscriptions.end(reason if isinstance(reason, ConnectionLost) else None)
        self._liveness.stop()
        self._hold.cancel()

    async def _close_stream(self) -> None:
        if self._stream is not None:
            await self._stream.close()

    async def close(self, timeout: float) -> int:
        """Send waiting events and a goodbye, then disconnect; later calls wait for the first."""
        if self._closing is None:
            self._closing = asyncio.create_task(
                self._close(timeout), name=f"fastcoord {self.name} close"
            )
        return await asyncio.shield(self._closing)

    async def _close(self, timeout: float) -> int:
        # A tenth of the time is reserved for disconnecting.
        deadline = self._loop.time() + timeout * 0.9
        batcher = self.sender.batcher
        discarded = batcher.discarded
        await self._own_id.end()
        if self.state.ended is None:
            try:
                await self.sender.close(deadline)
            except (TimeoutError, ConnectionLost, PermissionDenied):
                logger.debug("%s: closing without confirmation", self.name)
        self._end(NodeClosed(f"node {self.node_id} is closed"))
        await self._close_stream()
        await self._supervisor.close()
        unconfirmed = batcher.waiting + batcher.discarded - discarded
        if unconfirmed:
            logger.warning(
                "%s: closed with %d events that the server did not confirm",
                self.name,
                unconfirmed,
            )
        return unconfirmed
