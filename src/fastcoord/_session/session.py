"""Creates the components of a node, and passes the calls of ``Node`` to them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from msgspec import structs

from fastcoord._clock import clock_of
from fastcoord._forking import call_in_child
from fastcoord._liveness import Liveness
from fastcoord._session.cluster_events import ClusterEvents
from fastcoord._session.connection_events import ConnectionEvents
from fastcoord._subscriptions import Subscriptions
from fastcoord.config import doubtful_settings
from fastcoord.errors import NodeClosed, StreamError
from fastcoord.events import DuplicateNodeId
from fastcoord.nats.connection import EVENTS_SID
from fastcoord.nats.jetstream import FIRST_REPLY_SID
from fastcoord.nats.supervisor import Supervisor
from fastcoord.presence.own_id import OwnId, draw, new_incarnation
from fastcoord.presence.presence import PRESENCE_SID, REPLY_SID, Presence
from fastcoord.publishing.hold import Hold
from fastcoord.publishing.node_state import NodeState
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
    from collections.abc import Callable

    from fastcoord.config import Config
    from fastcoord.receiving.consumer import Consumer, Kinds, Overflow
    from fastcoord.stats import Peer, Stats
    from fastcoord.streaming.start import Since

__all__ = ["Session"]

INCARNATION_BITS = 42
"""The size of the random incarnation. 42 bits take seven digits in the sequence header."""

logger = logging.getLogger("fastcoord")


class Session(ConnectionEvents, ClusterEvents):
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
            reason = NodeClosed(f"node {self.node_id} has not joined")
            await asyncio.shield(self._drop_everything(reason))
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
            is_replaying=start is not None,
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

    # ------------------------------------------------------------------------------- time

    def _on_tick(self, now: float) -> None:
        self._repair(now)
        if self._stream is not None:
            self._stream.tick(now)
        self._update_pace(now)
        self._errors.tick(now)
        self._losses.report(self._subscriptions.missed)
        self._subscriptions.tick(now)
        expired = self.sender.discard_expired()
        self._losses.discarded(expired, "expired", "they waited longer than cluster.max-age")
