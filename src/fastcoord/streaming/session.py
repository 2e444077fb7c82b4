"""The part of a session that belongs to the stream: what is received from it, and what is known."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from fastcoord._deadline import within
from fastcoord.errors import ConnectionLost, ConnectTimeout, RequestTimeout, StreamError
from fastcoord.events import Missed
from fastcoord.nats.jetstream import JetStream
from fastcoord.receiving.runs import U64_MAX
from fastcoord.stats import StreamStats
from fastcoord.streaming.acknowledgements import Acknowledgements
from fastcoord.streaming.feed import Feed
from fastcoord.streaming.pausing import Pausing
from fastcoord.streaming.place import Place
from fastcoord.streaming.pull_consumer import PullConsumer
from fastcoord.streaming.replays import Replays
from fastcoord.streaming.settings import stream_problems
from fastcoord.streaming.stuck_rings import StuckRings
from fastcoord.streaming.waiting_runs import WaitingRuns

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.stream_info import StreamInfo
    from fastcoord.receiving.ring import Ring
    from fastcoord.streaming.pausing import Received
    from fastcoord.streaming.sender import StreamSender
    from fastcoord.streaming.start import Start
    from fastcoord.streaming.stream_receiver import StreamReceiver

__all__ = ["ACKNOWLEDGEMENTS_SID", "StreamSession", "StreamWatcher"]

ACKNOWLEDGEMENTS_SID = 1 << 16
"""The subscription id of the acknowledgements; those of consumers follow."""
SHORTEST_HEARTBEAT = 0.1
LONGEST_HEARTBEAT = 5.0
"""Seconds between two heartbeats of an idle consumer; nats-server accepts no shorter ones."""
MAX_DEMAND = 8192
"""The most messages that are requested at once."""
MAX_DEMAND_BYTES = 8 * 1024 * 1024
"""The most bytes of one request; a server disconnects a client that reads too slowly."""
ANSWER_LIMIT = 1.0
"""Seconds after which a request is repeated once the node has started."""

logger = logging.getLogger("fastcoord")


class StreamWatcher(Protocol):
    """Receives what the stream's part of a session finds out."""

    def missed(self, missed: Missed) -> None:
        """Log a loss that was reported to every subscription."""

    def discarded(self, events: int, cause: str, reason: str) -> None:
        """Log events that the stream cannot store; 0 logs nothing."""


class StreamSession:
    """Receive the events of one node from its stream.

    :param config: the configuration; it names the stream.
    :param receiver: the receiver of the node.
    :param sender: the sender of the node.
    :param watcher: receives losses.
    """

    def __init__(
        self,
        config: Config,
        receiver: StreamReceiver,
        sender: StreamSender,
        watcher: StreamWatcher,
    ) -> None:
        self._config = config
        self.stream = config.cluster.stream or ""
        self.heartbeat = min(max(config.cluster.heartbeat, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)
        # Messages may be under way when a subscription begins, so its empty ring must hold them.
        capacity = config.nats.capacity
        self.max_demand = min(MAX_DEMAND, capacity.subscription)
        self.ring_bytes = capacity.subscription_bytes
        self.max_demand_bytes = min(MAX_DEMAND_BYTES, self.ring_bytes // 4)
        self.jetstream: JetStream | None = None
        self.connection: Connection | None = None
        self._receiver = receiver
        self._sender = sender
        self._watcher = watcher
        self.name = f"node {config.cluster.node_id}"
        self._loop = asyncio.get_running_loop()
        self._next_sid = ACKNOWLEDGEMENTS_SID + 1
        self._connected = asyncio.Event()
        subject = config.cluster.subject.encode()
        self._live = PullConsumer(self, self)
        self._live.feed = Feed(receiver, self._live, subject)
        self._live.place = Place(self._live.feed, at_end=True)
        self._pausing = Pausing(self, self, self._live)
        self._replays = Replays(self, self, receiver, self._live, subject)
        self._stuck = StuckRings()
        self._waiting = WaitingRuns(self._live.feed.runs, receiver.peers)
        self._task: asyncio.Task[None] | None = None
        self._end_seen = 0
        self._created = ""
        self._old_sequence = 0
        """The sequence of the last own batch in a stream that was deleted since."""
        self._ended: Exception | None = None
        self.trouble: str | None = None
        """Why nothing is received from the stream now, or ``None``."""
        acknowledgements: Acknowledgements = sender.acknowledgements
        receiver.acknowledgements_sid = ACKNOWLEDGEMENTS_SID
        receiver.acknowledgements = acknowledgements
        receiver.live = self._live.feed

    # ------------------------------------------------------------------- connections

    async def start(self) -> None:
        """Begin to receive what is stored from now on.

        :raises StreamError: the stream does not exist or cannot be used.
        :raises PermissionDenied: a right is missing.
        :raises RequestTimeout: the stream does not answer within ``timeout.request``.
        :raises ConnectTimeout: the connection was lost, and there was no other one in this time.
        :raises ConnectionLost: the connection was lost, and reconnecting was given up.
        """
        timeout = self._config.nats.timeout.request
        deadline = self._loop.time() + timeout
        limit = self._answer_limit
        while True:
            jetstream = await self._connected_before(deadline)
            # A request to a leader that has just changed is lost, and a busy one answers late.
            jetstream.timeout = max(0.0, min(limit, deadline - self._loop.time()))
            try:
                await self._begin(jetstream)
                break
            except ConnectionLost:
                self._live.stop()
                continue
            except RequestTimeout as error:
                self._live.stop()
                if self._loop.time() >= deadline:
                    raise RequestTimeout(
                        f"JetStream did not answer within {timeout:g} s (timeout.request): the"
                        f" stream {self.stream} or the JetStream cluster may have no leader; check"
                        " that most of its servers run"
                    ) from error
            limit *= 2
        jetstream.timeout = self._answer_limit
        self._task = self._loop.create_task(
            self._live.run(is_open=True), name=f"fastcoord {self.name} stream"
        )

    async def _connected_before(self, deadline: float) -> JetStream:
        """Wait for a connection.

        :param deadline: a time on the event loop's clock.
        """
        while self.jetstream is None:
            if self._ended is not None:
                raise self._ended
            try:
                await within(self.wait_connected(), max(0.0, deadline - self._loop.time()))
            except TimeoutError:
                raise ConnectTimeout(
                    "the connection was lost while the node joined, and there was no other one"
                    " within timeout.request"
                ) from None
        return self.jetstream

    async def _begin(self, jetstream: JetStream) -> None:
        """Check the stream, and make the consumer."""
        info = await jetstream.stream_info(self.stream)
        problems = stream_problems(info, self._config)
        if problems:
            raise StreamError(
                f"the stream {self.stream} (cluster.stream) cannot be used:"
                f" {'; '.join(map(str, problems))}"
            )
        await self._live.open()

    def use(self, connection: Connection) -> None:
        """Use a new connection; call this before the sender uses it."""
        self.connection = connection
        domain = self._config.cluster.stream_domain
        self.jetstream = JetStream(connection, self._answer_limit, domain)
        replies = self.jetstream.reply_subject("a")
        connection.receive(f"{replies}.*", ACKNOWLEDGEMENTS_SID)
        self._sender.use_replies(f"{replies}.".encode())
        self._connected.set()

    @property
    def _answer_limit(self) -> float:
        """How many seconds a request may take; while the node joins, later ones may take longer.

        Without a leader nothing answers. A new leader should be found soon.
        """
        return min(self._config.nats.timeout.request, ANSWER_LIMIT)

    def disconnected(self, reason: str) -> None:
        """Note that the connection was lost."""
        self._connected.clear()
        self.connection = None
        jetstream, self.jetstream = self.jetstream, None
        lost = ConnectionLost(f"the connection was lost: {reason}")
        for consumer in self._consumers():
            consumer.is_open = False
            consumer.interrupt(lost)
        if jetstream is not None:
            jetstream.end(lost)

    async def wait_connected(self) -> None:
        await self._connected.wait()

    def next_sid(self) -> int:
        self._next_sid += 1
        return self._next_sid

    def take(self, sid: int, payload: bytes) -> None:
        """Process the answer to a request to JetStream."""
        if self.jetstream is not None:
            self.jetstream.take(sid, payload)

    def observe(self, info: StreamInfo) -> None:
        self._end_seen = info.state.last_seq
        self._live.place.observe(info)
        if self._created != info.created:
            if self._created:
                self._old_sequence = self._sender.acknowledgements.sequence
            self._created = info.created
        largest = info.config.max_msg_size
        discarded = self._sender.limit_messages(largest if largest > 0 else 1 << 30)
        self._watcher.discarded(
            discarded,
            "larger than max_msg_size",
            f"the stream {self.stream} accepts no message of more than {largest} bytes",
        )

    # ------------------------------------------------------------------ subscriptions

    def subscribed(self) -> None:
        """Receive new events, because a subscription needs them."""
        sequence = self._sender.acknowledgements.sequence
        self._live.resume(0 if sequence == self._old_sequence else sequence)

    def is_read(self, consumer: PullConsumer) -> bool:
        if consumer is not self._live:
            return True
        # Pace needs to know whether a Stalwart node publishes.
        return bool(self._receiver.rings or self._sender.pace.can_begin)

    def received_by(self, node_id: int, incarnation: int, up_to: int) -> Received | None:
        """Return how far every ring has received a run; see ``Rules.received_by``."""
        received = self._pausing.received_by(node_id, incarnation, up_to)
        if received is None or not up_to:
            return received
        return self._replays.received_by(node_id, incarnation, received)

    def replay(self, ring: Ring, start: Start) -> None:
        """Feed a ring from an earlier place of the stream until it has caught up.

        :param ring: the ring of a subscription; ``is_replaying`` is set.
        :param start: where to begin.
        """
        self._replays.begin(ring, start, self.name)

    def caught_up(self, consumer: PullConsumer) -> None:
        self._replays.caught_up(consumer)

    def receiving(self, consumer: PullConsumer) -> None:
        if consumer is self._live:
            if self.trouble is not None:
                self.trouble = None
                logger.warning("%s: receiving from stream %s again", self.name, self.stream)
        else:
            self._replays.opened(consumer)

    def in_trouble(self, consumer: PullConsumer, reason: Exception | str) -> None:
        if consumer is not self._live or self.connection is None:
            return
        if self.trouble is None:
            logger.warning(
                "%s: receiving from stream %s is interrupted: %s", self.name, self.stream, reason
            )
        self.trouble = str(reason)

    # -------------------------------------------------------------- called by consumers

    def missed(self, consumer: PullConsumer, missed: Missed) -> None:
        if consumer is self._live:
            if missed.node_id is not None and missed.events is not None:
                peer = self._receiver.peers.get(missed.node_id)
                if peer is not None:
                    peer.missed = min(peer.missed + missed.events, U64_MAX)
            self._watcher.missed(missed)

    def other_protocol(
        self, consumer: PullConsumer, node_id: int, protocol: int, count: int
    ) -> None:
        if consumer is self._live:
            self._receiver.rules.with_other_protocol(node_id, protocol, 0, False)
        if count:
            consumer.missed(consumer.feed, Missed(node_id, count, "undecodable"))

    def without_header(self, node_id: int, count: int, is_intact: bool) -> None:
        self._receiver.rules.without_header(node_id, count, is_intact)

    # -------------------------------------------------------------------------- time

    def _consumers(self) -> list[PullConsumer]:
        return [self._live, *self._replays]

    def tick(self, now: float) -> None:
        """Detect lost consumers and programs that take nothing. Call this periodically."""
        self._replays.tick()
        for consumer in self._consumers():
            consumer.tick(now)
        self._stuck.tick(self._receiver.rings, now)
        self._pausing.tick(now, is_refused=self._sender.trouble is not None)
        for missed in self._waiting.tick(now):
            self._live.missed(self._live.feed, missed)

    def end(self, reason: Exception) -> None:
        """Raise ``reason`` in ``start``."""
        self._ended = reason
        if self._task is None:
            self._connected.set()

    @property
    def is_caught_up(self) -> bool:
        """Whether everything was received that the stream had when it was last asked, and no slow
        program of this node holds up what has been stored since.

        The stream is asked whenever a consumer is made, that is, after each interruption.
        """
        live = self._live
        return live.keeps_up and live.feed.sequence >= self._end_seen

    def stats(self) -> StreamStats:
        """Return the state of the stream, as this node knows it."""
        feed = self._live.feed
        return StreamStats(
            name=self.stream,
            sequence=feed.sequence,
            lag=0 if self._live.is_paused else max(feed.pending, self._end_seen - feed.sequence, 0),
            is_receiving=self._live.is_open
            or (self._live.is_paused and self.connection is not None),
            trouble=self.any_trouble,
            consumers_made=self._live.made,
            replays=len(self._replays),
            duplicates=feed.duplicates,
            missed_messages=feed.missed_messages,
            resent_batches=self._sender.resent,
            stored_before=self._sender.acknowledgements.duplicates,
        )

    @property
    def any_trouble(self) -> str | None:
        """Why the stream does not accept or send messages now, or ``None``."""
        return self._sender.trouble or self.trouble

    @property
    def feed(self) -> Feed:
        """The feed of new events."""
        return self._live.feed

    async def close(self) -> None:
        """Stop receiving."""
        tasks = self._replays.close()
        if self._task is not None:
            self._task.cancel()
            tasks.append(self._task)
        await self._pausing.close()
        if tasks:
            await asyncio.wait(tasks)
        if self.jetstream is not None:
            self.jetstream.end(ConnectionLost("the node is closed"))
