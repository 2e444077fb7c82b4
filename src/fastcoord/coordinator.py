"""One node of a cluster: the rooms below put together."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from fastcoord._inbox import Inbox
from fastcoord._outlet import Outlet
from fastcoord.diagnostics import LossLog
from fastcoord.errors import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    NodeClosed,
    RequestTimeout,
)
from fastcoord.events import Event, Missed, Notice
from fastcoord.outgoing import Outgoing
from fastcoord.requests import Requests
from fastcoord.sequence import HEARTBEATS_UNTIL_DOWN, Sequencer
from fastcoord.statistics import Peer, Stats
from fastcoord.subscription import Overflow, Subscription
from fastcoord.transport import EVENTS_SID, Supervisor

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.transport import Link

__all__ = ["Node"]

DEFAULT_CLOSE_TIMEOUT = 5.0
LIFE_SIGNS_PER_HEARTBEAT = 2
LONGEST_RECONNECT_PAUSE = 5.0
"""Seconds within which a peer that is alive has tried to join again: the longest wait between two
attempts, and time to connect."""
HEARTBEATS_UNTIL_DEAD = 1.5
"""Without an answer to a PING for so long, and with no byte read or taken in the meantime, a
connection is dead. With a PING every half heartbeat that makes at most two and a half, three with
the timer's own delay."""

logger = logging.getLogger("fastcoord")


class Node(Outlet):
    """A node of a cluster: it publishes events, and hears those of every other node.

    Made by ``fastcoord.connect``. Use it on the event loop that made it; ``publish_nowait`` alone
    may be called from any thread.
    """

    def __init__(self, config: Config) -> None:
        loop = asyncio.get_running_loop()
        cluster = config.cluster
        self._config = config
        self._loop = loop
        self._name = f"node {cluster.node_id}"
        self._incarnation = secrets.randbits(63) | 1
        self._sequencer = Sequencer(
            heartbeat=cluster.heartbeat, started_at=loop.time(), watcher=self
        )
        self._inbox = Inbox(
            node_id=cluster.node_id,
            incarnation=self._incarnation,
            protocol=cluster.protocol,
            hear_own=not config.nats.no_echo,
            sequencer=self._sequencer,
            on_request=self._on_request,
        )
        self._inbox.events_sid = EVENTS_SID
        self._sequencer.inbox = self._inbox
        self._outgoing = Outgoing(
            config,
            node_id=cluster.node_id,
            protocol=cluster.protocol,
            incarnation=self._incarnation,
            outlet=self,
        )
        self._requests = Requests(cluster.subject, cluster.node_id, self._incarnation)
        self._supervisor = Supervisor(config, self._inbox, self)
        self._subscriptions: list[Subscription] = []
        self._losses = LossLog(self._name)
        self._duplicates: set[int] = set()
        self._last_sign = 0.0
        self._last_tick = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended: Exception | None = None
        self._closing: asyncio.Task[int] | None = None
        self._hold: asyncio.TimerHandle | None = None
        self._answer: asyncio.Handle | None = None
        self._down_since = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._closing else (self._server() or "not connected")
        return f"<fastcoord.Node {self.node_id} on {self._config.cluster.subject}: {state}>"

    async def start(self) -> None:
        """Join a server; part of ``fastcoord.connect``.

        :raises ConnectError: no server could be joined.
        """
        await self._supervisor.start()
        self._last_tick = self._last_sign = self._loop.time()
        self._schedule_tick()
        seconds = self._config.nats.timeout.connection
        try:
            # The PONG says that the server has the subscriptions: what others publish from here on
            # is heard, or its loss is seen.
            await self._outgoing.flush(seconds)
        except BaseException as error:
            self._end(NodeClosed(f"node {self.node_id} has not joined"))
            await self._supervisor.close()
            if isinstance(error, RequestTimeout):
                raise ConnectTimeout(
                    f"a NATS server was joined and did not answer within {seconds:g} s"
                    " (timeout.connection): check that it is not overloaded or suspended"
                ) from None
            if isinstance(error, ConnectionLost):
                raise ConnectError(str(error)) from None
            raise

    # ----------------------------------------------------------------------- publishing

    async def flush(self) -> None:
        """Wait until the server has confirmed everything that was accepted before this call.

        What was discarded before (``stats().discarded``) cannot be waited for.

        :raises RequestTimeout: that took longer than ``timeout.request``, or some of it was
            discarded meanwhile.
        :raises ConnectionLost: the connection is gone for good.
        :raises NodeClosed: the node was closed.
        """
        await self._outgoing.flush()

    # ----------------------------------------------------------------------- subscribing

    def subscribe(
        self,
        *,
        kinds: Iterable[type[Event] | type[Notice]] | None = None,
        overflow: Overflow = "drop-oldest",
        peers: bool = False,
    ) -> Subscription:
        """Hear the events of the other nodes, from now on.

        :param kinds: the event classes to let through; all of them when left out. ``Missed`` is
            always told. ``PeerUp`` and ``PeerDown`` may be among them.
        :param overflow: what to drop when the subscription is slower than the bus:
            ``"drop-oldest"`` or ``"drop-newest"``. ``Missed`` tells how many.
        :param peers: whether to hear ``PeerUp`` and ``PeerDown``.
        :return: the subscription, to be used with ``async with`` and ``async for``.
        :raises TypeError: ``kinds`` holds something that is not an event class.
        :raises NodeClosed: the node was closed.
        """
        if self._ended is not None:
            raise self._ended
        capacity = self._config.nats.capacity
        subscription = Subscription(
            protocol=self._config.cluster.protocol,
            kinds=kinds,
            overflow=overflow,
            peers=peers,
            capacity_messages=capacity.subscription,
            capacity_bytes=capacity.subscription_bytes,
            on_close=self._forget,
        )
        self._subscriptions.append(subscription)
        self._inbox.add_ring(subscription.ring)
        return subscription

    def _forget(self, subscription: Subscription) -> None:
        self._inbox.remove_ring(subscription.ring)
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    # ----------------------------------------------------------------------- looking

    @property
    def node_id(self) -> int:
        """This node's id within the cluster."""
        return self._config.cluster.node_id

    @property
    def config(self) -> Config:
        """The configuration in force, with the arguments of ``connect`` applied."""
        return self._config

    @property
    def is_connected(self) -> bool:
        """Whether a server is joined at this moment."""
        return self._supervisor.link is not None

    def _server(self) -> str | None:
        link = self._supervisor.link
        return None if link is None else str(link.server)

    def stats(self) -> Stats:
        """Return the numbers of this node at this moment."""
        batcher, inbox = self._outgoing.batcher, self._inbox
        return Stats(
            node_id=self.node_id,
            incarnation=self._incarnation,
            server=self._server(),
            reconnects=self._supervisor.reconnects,
            accepted=batcher.accepted,
            confirmed=batcher.confirmed,
            waiting=batcher.waiting,
            discarded=batcher.discarded,
            waiting_batches=len(batcher.queue) + len(batcher.window),
            sent_batches=batcher.sealed_batches,
            sent_bytes=self._outgoing.sent_bytes,
            received=inbox.received,
            received_batches=inbox.received_batches,
            received_bytes=inbox.received_bytes,
            duplicates=inbox.duplicates,
            malformed=inbox.malformed,
            missed=self._losses.by_cause(),
            duplicate_node_ids=tuple(sorted(self._duplicates)),
            subscriptions=tuple(subscription.stats() for subscription in self._subscriptions),
        )

    def peers(self) -> tuple[Peer, ...]:
        """Return what is known of every other node that was heard, by node id."""
        since_epoch = time.time() - self._loop.time()
        return tuple(
            Peer(
                node_id=state.node_id,
                incarnation=state.incarnation if state.numbered else None,
                is_up=state.history.up if state.numbered else None,
                last_heard=since_epoch + state.heard_at,
                received=state.received,
                missed=state.missed,
                round_trip=self._requests.round_trips.get(state.node_id),
            )
            for _, state in sorted(self._inbox.peers.items())
            if state.history is not None and state.node_id != self.node_id
        )

    async def ping(self, node_id: int) -> float:
        """Ask another fastcoord node for a sign of life.

        :param node_id: the node to ask.
        :return: the round trip, in seconds.
        :raises TypeError: the node id is no integer.
        :raises ValueError: no other node can have this id.
        :raises RequestTimeout: it did not answer within ``timeout.request``.
        :raises ConnectionLost: the connection is gone for good.
        :raises NodeClosed: the node was closed.
        """
        if self._ended is not None:
            raise self._ended
        return await self._requests.ping(
            self._supervisor.link, node_id, self._config.nats.timeout.request
        )

    # ------------------------------------------------------------- what the rooms below tell

    def _on_request(self, sid: int, reply: bytes, payload: bytes) -> None:
        link = self._supervisor.link
        if link is not None:
            self._requests.take(link, sid, reply, payload)

    def missed(self, missed: Missed) -> None:
        self._losses.note(missed)

    def duplicate_node_id(self, node_id: int) -> None:
        self._duplicates.add(node_id)
        logger.error(
            "%s: two running nodes use node id %d on %s; each drops what the other says: give one"
            " of them another cluster.node-id",
            self._name,
            node_id,
            self._config.cluster.subject,
        )

    def greeted(self) -> None:
        # Several nodes that join at once are answered with one beat.
        if self._answer is None:
            self._answer = self._loop.call_soon(self._answer_greeting)

    def _answer_greeting(self) -> None:
        self._answer = None
        self._outgoing.beat()

    def peers_are_back(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        self._sequencer.awaited.clear()
        self._outgoing.release()

    def link_read(self) -> None:
        inbox = self._inbox
        inbox.now = self._last_sign = self._loop.time()
        inbox.received_at = time.time()

    def link_writable(self) -> None:
        # A line that takes what was held up is alive, however long its answers are.
        self._last_sign = self._loop.time()
        self._outgoing.writable()

    def connection_up(self, link: Link) -> None:
        link.subscribe(self._config.cluster.subject, EVENTS_SID)
        self._requests.subscribe(link)
        now = self._loop.time()
        self._inbox.now = self._last_sign = now
        self._inbox.received_at = time.time()
        self._sequencer.joined_the_bus(now)
        # After an outage the peers come back one by one. What is sent before they listen is lost
        # to them, so it is kept until everyone who was there is heard again, or counts as down.
        hold = bool(self._sequencer.awaited)
        if hold:
            patience = max(
                HEARTBEATS_UNTIL_DOWN * self._config.cluster.heartbeat, LONGEST_RECONNECT_PAUSE
            )
            self._hold = self._loop.call_later(patience, self.peers_are_back)
        # A Stalwart node cannot tell a repetition; with one around, only what must be is repeated.
        again = 0.0 if self._sequencer.hears_unnumbered else self._config.cluster.heartbeat
        gone = self._outgoing.connected(link, recent_since=self._down_since - again, hold=hold)
        if gone:
            logger.error(
                "%s: %d events discarded: %s takes no message of more than %d bytes",
                self._name,
                gone,
                link.server,
                link.max_payload,
            )

    def connection_down(self, reason: str) -> None:
        self._outgoing.disconnected()
        self._sequencer.left_the_bus()
        self._down_since = self._loop.time()
        if self._hold is not None:
            self._hold.cancel()

    def connection_given_up(self, reason: str) -> None:
        self._end(ConnectionLost(f"the connection is lost: {reason}"))

    # ------------------------------------------------------------------------- the clock

    def _schedule_tick(self) -> None:
        pause = self._config.cluster.heartbeat / LIFE_SIGNS_PER_HEARTBEAT
        self._timer = self._loop.call_later(pause, self._tick)

    def _tick(self) -> None:
        heartbeat = self._config.cluster.heartbeat
        now = self._loop.time()
        # After a pause of this very process, answers may lie unread in the socket: let them in
        # before anyone is called silent.
        was_suspended = now - self._last_tick > heartbeat
        self._last_tick = now
        self._losses.report(sum(each.ring.missed for each in self._subscriptions))
        link = self._supervisor.link
        if link is not None:
            if now - self._outgoing.last_sent >= heartbeat * 0.75:
                self._outgoing.beat()
            asked_at = self._outgoing.asked_at
            dead_since = now - HEARTBEATS_UNTIL_DEAD * heartbeat
            if was_suspended:
                self._outgoing.wait_anew(now)
            elif asked_at is not None and asked_at < dead_since and self._last_sign < dead_since:
                link.abort(f"no sign of life from the server for {now - asked_at:.1f} s")
            self._outgoing.check_alive()
            if not was_suspended:
                self._sequencer.tick(now)
        gone = self._outgoing.discard_older(now - self._config.cluster.max_age)
        if gone:
            logger.warning(
                "%s: %d events discarded: they waited longer than cluster.max-age", self._name, gone
            )
        if self._ended is None:
            self._schedule_tick()

    # ---------------------------------------------------------------------------- ending

    def _end(self, reason: Exception) -> None:
        if self._ended is None or isinstance(reason, NodeClosed):
            self._ended = reason
        self._outgoing.end(reason)
        self._requests.end(reason)
        failure = reason if isinstance(reason, ConnectionLost) else None
        for subscription in self._subscriptions:
            if not subscription.ring.is_closed:
                subscription.end(failure)
        for handle in (self._timer, self._hold):
            if handle is not None:
                handle.cancel()

    async def close(self, timeout: float = DEFAULT_CLOSE_TIMEOUT) -> int:
        """Send what waits, say goodbye, and leave; return within ``timeout`` in any state.

        Iterations over subscriptions end after what is buffered. Calling it again waits for the
        first call.

        :param timeout: seconds.
        :return: how many of the events that this node still kept could not be handed over: they
            were not confirmed by the server, or grew too old meanwhile. 0 when all were confirmed.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(
                self._close(timeout), name=f"fastcoord {self._name} close"
            )
        return await asyncio.shield(self._closing)

    async def _close(self, timeout: float) -> int:
        # A tenth of the time is for leaving, whatever the connection does until then.
        deadline = self._loop.time() + timeout * 0.9
        batcher = self._outgoing.batcher
        discarded = batcher.discarded
        if self._ended is None:
            try:
                await self._outgoing.close(deadline)
            except (TimeoutError, ConnectionLost):
                logger.debug("%s: closing without confirmation", self._name)
        self._end(NodeClosed(f"node {self.node_id} is closed"))
        await self._supervisor.close()
        undelivered = batcher.waiting + batcher.discarded - discarded
        if undelivered:
            logger.warning(
                "%s: closed with %d events that the server did not confirm", self._name, undelivered
            )
        return undelivered

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
