"""Keep a consumer of a stream on the server, and request as many messages as fit into the rings."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import secrets
from asyncio import FIRST_COMPLETED
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fastcoord.errors import ConnectionLost, PermissionDenied, RequestTimeout, StreamError
from fastcoord.nats.rights import Right
from fastcoord.streaming.demand import Demand
from fastcoord.streaming.feed import Feed

if TYPE_CHECKING:
    from fastcoord.events import Missed
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.stream_info import StreamInfo
    from fastcoord.streaming.place import Place
    from fastcoord.streaming.source import StreamSource

__all__ = ["ConsumerOwner", "PullConsumer"]

BLOCKED_PAUSE = 0.005
"""Seconds until a full ring is checked again."""
EXPIRY = 30.0
"""Seconds after which the server ends a request that it could not complete."""
INACTIVE_LIMIT = 30.0
"""Seconds after which the server removes a consumer without a request."""
HEARTBEATS_UNTIL_LOST = 3
SHORTEST_WAIT = 0.05
LONGEST_WAIT = 4.0

NANOSECONDS = 1_000_000_000
STATUS = re.compile(rb"NATS/1\.0 +(\d{3}) *([^\r\n]*)")
PENDING = re.compile(rb"\r\nNats-Pending-Messages: *(\d{1,18})\r\n", re.IGNORECASE)
PENDING_BYTES = re.compile(rb"\r\nNats-Pending-Bytes: *(\d{1,18})\r\n", re.IGNORECASE)
LAST_DELIVERY = re.compile(rb"\r\nNats-Last-Consumer: *(\d{1,18})\r\n", re.IGNORECASE)
TOO_LARGE = b"Message Size Exceeds MaxBytes"
RENEWABLE = (TOO_LARGE, b"Batch Completed")
"""The descriptions of status 409 that end a request and not the consumer."""

logger = logging.getLogger("fastcoord")


class ConsumerInfo(msgspec.Struct):
    """The part of JetStream's answer about a consumer that is needed here."""

    name: str
    num_pending: int = 0


class ConsumerOwner(Protocol):
    """The callbacks of a consumer. They are called on the event loop."""

    def missed(self, consumer: PullConsumer, missed: Missed) -> None:
        """Report a loss to the log; the rings have the notice."""

    def other_protocol(
        self, consumer: PullConsumer, node_id: int, protocol: int, count: int
    ) -> None:
        """Report a node that uses another protocol."""

    def without_header(self, node_id: int, count: int, is_intact: bool) -> None:
        """Note a message of a node that sends no sequence header."""

    def is_read(self, consumer: PullConsumer) -> bool:
        """Return whether any ring needs what the consumer receives."""

    def caught_up(self, consumer: PullConsumer) -> None:
        """The replay has reached the live feed."""

    def in_trouble(self, consumer: PullConsumer, reason: Exception | str) -> None:
        """Receiving is interrupted; the consumer tries again."""

    def receiving(self, consumer: PullConsumer) -> None:
        """Receiving has begun, or has begun again."""


class PullConsumer:
    """One consumer, which is made anew behind the last message whenever it is lost.

    A consumer requests messages only if all rings have space for them. So a program that reads
    slowly makes this node fall behind the end of the stream, and loses nothing that the stream
    retains.

    :param source: the stream and the connection to it.
    :param owner: receives the callbacks.
    """

    def __init__(self, source: StreamSource, owner: ConsumerOwner) -> None:
        self.feed: Feed
        """The feed; its owner is this object."""
        self.place: Place
        """The place of the feed in the stream."""
        self.is_open = False
        """Whether the server has the consumer, as far as is known."""
        self.is_paused = False
        """Whether the server has no consumer because no ring is fed."""
        self.made = 0
        """How often a consumer was made on the server."""
        self._source = source
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._reason: Exception | str = ""
        self._is_resumed = False
        self._failures = 0
        self._name = ""
        self._reply = self._api = ""
        self._blocked: asyncio.TimerHandle | None = None
        self._requests = Demand(source)
        self._opened_at: float | None = None
        """When the present consumer was made."""

    @property
    def keeps_up(self) -> bool:
        """Whether messages are received, and as many were requested as the stream has."""
        feed = self.feed
        return (
            self.is_open
            and bool(feed.sid)
            and self._blocked is None
            and feed.pending <= feed.demand
        )

    async def run(self, *, is_open: bool = False) -> None:
        """Receive until this task is cancelled.

        :param is_open: whether ``open`` has succeeded already.
        """
        try:
            while True:
                try:
                    if not is_open:
                        await self._source.wait_connected()
                        await self.open()
                    is_open = False
                    await self._ended.wait()
                    if self._is_resumed:
                        self._is_resumed = False
                        continue
                    reason = self._reason
                except (StreamError, RequestTimeout, PermissionDenied, ConnectionLost) as error:
                    reason = error
                except Exception as error:
                    # The cause is a defect of fastcoord or an exception of a signal handler.
                    logger.exception("receiving from stream %s failed", self._source.stream)
                    reason = error
                self.stop()
                self._owner.in_trouble(self, reason)
                await asyncio.sleep(self._backoff())
        finally:
            self.stop()

    def _backoff(self) -> float:
        """Return the next wait in seconds: exponential backoff with 50 to 100 % jitter."""
        opened_at, self._opened_at = self._opened_at, None
        if opened_at is not None and self._loop.time() - opened_at > LONGEST_WAIT:
            self._failures = 0
        wait = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return wait * random.uniform(0.5, 1.0)

    # ---------------------------------------------------------------------- making

    async def open(self) -> None:
        """Make a consumer behind the last message that was processed, and request messages.

        :raises StreamError: the stream cannot be used now.
        :raises PermissionDenied: a right is missing.
        :raises RequestTimeout: there is no answer.
        """
        jetstream, connection = self._source.jetstream, self._source.connection
        if jetstream is None or connection is None:
            raise ConnectionLost("the connection was lost")
        self._ended.clear()
        info = await jetstream.stream_info(self._source.stream)
        self._source.observe(info)
        start = self.place.compare(info)
        feed = self.feed
        sid = self._source.next_sid()
        self._name = f"fastcoord-{secrets.token_hex(6)}"
        self._reply, self._api = jetstream.reply_subject(sid), jetstream.api
        settings: dict[str, Any] = {
            "name": self._name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(INACTIVE_LIMIT * NANOSECONDS),
            **start,
        }
        connection.receive(self._reply, sid)
        feed.begin(sid, self._loop.time())
        self._requests.begin()
        self.registered(sid)
        body = {"stream_name": self._source.stream, "config": settings, "action": "create"}
        made = await jetstream.call(
            f"CONSUMER.CREATE.{self._source.stream}.{self._name}", body, ConsumerInfo
        )
        self.made += 1
        self._opened_at = self._loop.time()
        if feed.sid != sid:
            if self._source.connection is not connection:
                raise ConnectionLost("the connection was lost")
            raise StreamError("the consumer was lost while it was made")
        if not made.num_pending:
            self.place.reach_end(info)
        self.is_open = True
        self._owner.receiving(self)
        if feed.sid == sid:
            self._demand()
        if self.made == 1:
            await self._prove_right(connection)

    async def _prove_right(self, connection: Connection) -> None:
        """Wait until the server has processed the first request for messages.

        It waits no longer if the consumer is lost meanwhile.

        :raises PermissionDenied: the server does not permit this user to send it.
        """
        right = Right("publish", self._request_subject())
        processed: asyncio.Future[bool] = self._loop.create_future()

        def answered() -> None:
            if not processed.done():
                processed.set_result(connection.take_refusal(right.subject))

        connection.ping(answered)
        ended: asyncio.Task[bool] = self._loop.create_task(self._ended.wait())
        try:
            await asyncio.wait({processed, ended}, timeout=EXPIRY, return_when=FIRST_COMPLETED)
        finally:
            ended.cancel()
        if processed.done() and processed.result():
            raise right.denied()

    def _request_subject(self) -> str:
        return f"{self._api}CONSUMER.MSG.NEXT.{self._source.stream}.{self._name}"

    def registered(self, sid: int) -> None:
        """Note the subscription id of the next messages."""

    def stop(self) -> None:
        """Ignore the present consumer, and let the server remove it."""
        connection = self._source.connection
        sid = self.feed.sid
        if self._blocked is not None:
            self._blocked.cancel()
            self._blocked = None
        self.feed.stop()
        if sid and connection is not None:
            connection.unsubscribe(sid)
        if self.is_open and connection is not None:
            connection.publish_raw(
                f"{self._api}CONSUMER.DELETE.{self._source.stream}.{self._name}".encode(), b""
            )
        self.is_open = False

    def pause(self) -> None:
        """Remove the consumer until ``resume`` is called."""
        self.stop()
        self.is_paused = True

    def resume(self, sequence: int) -> None:
        """Make a consumer again, because a ring needs it.

        :param sequence: a stream sequence behind which nothing may be missed.
        """
        if self.is_paused:
            self.feed.advance(max(sequence, self.feed.sequence))
            self.is_paused = False
            self._is_resumed = True
            self._ended.set()
        elif self._blocked is None:
            self._demand()

    def advance(self, info: StreamInfo) -> None:
        """Continue behind the end of the stream when the pause is over."""
        self.place.advance(info)

    def interrupt(self, reason: Exception | str) -> None:
        """End the present consumer; ``run`` makes another one."""
        if self.is_paused:
            return
        self.feed.stop()
        self._reason = reason
        self._ended.set()

    # ------------------------------------------------------------------- requesting

    def low(self, feed: Feed) -> None:
        if self._owner.is_read(self):
            self._demand()
        else:
            self.pause()

    def _demand(self) -> None:
        """Request more messages if there is space for them."""
        feed, connection = self.feed, self._source.connection
        self._blocked = None
        if not feed.sid or connection is None or not self.is_open:
            return
        is_read = self._owner.is_read(self)
        request = self._requests.next(feed, is_read=is_read)
        if request is not None:
            body = {
                "batch": request.messages,
                "max_bytes": request.max_bytes,
                "expires": int(max(EXPIRY, 4 * self._source.heartbeat) * NANOSECONDS),
                "idle_heartbeat": int(self._source.heartbeat * NANOSECONDS),
            }
            if not feed.demand:
                feed.last_at = self._loop.time()
            feed.demanded(request.messages, request.max_bytes)
            connection.publish_raw(
                self._request_subject().encode(),
                msgspec.json.encode(body),
                self._reply.encode(),
            )
        if feed.demand:
            feed.low_demand = feed.demand // 2 if is_read else 0
        else:
            feed.low_demand = -1
            self._blocked = self._loop.call_later(BLOCKED_PAUSE, self._demand)

    def tick(self, now: float) -> None:
        """Detect a consumer that has sent nothing for three heartbeats."""
        feed = self.feed
        silent = now - feed.last_at
        if self.is_open and feed.sid and feed.demand:
            if silent > HEARTBEATS_UNTIL_LOST * self._source.heartbeat:
                self.interrupt(f"the consumer has sent nothing for {silent:.1f} s")
            else:
                self.place.tick()
        elif self.is_open and feed.sid and self._blocked is None:
            self._demand()

    # ----------------------------------------------------------- called by the feed

    def status(self, feed: Feed, block: bytes) -> None:
        found = STATUS.match(block)
        if found is None:
            return
        code, description = int(found[1]), found[2].strip()
        if code == 100:
            last = LAST_DELIVERY.search(block)
            if last is not None and int(last[1]) > feed.number:
                self.interrupt(f"deliveries were lost: {feed.number} of {int(last[1])} arrived")
            return
        pending = PENDING.search(block)
        if code in (404, 408) or (code == 409 and description in RENEWABLE):
            size = PENDING_BYTES.search(block)
            feed.demanded(
                -int(pending[1]) if pending is not None else -feed.demand,
                -int(size[1]) if size is not None else 0,
            )
            if description == TOO_LARGE:
                self._requests.refused(feed.number)
            self._demand()
            return
        text = description.decode("ascii", "replace") or "nobody answers requests for messages"
        connection = self._source.connection
        text = text if connection is None else connection.redact(text)
        self.interrupt(f"the consumer has ended: {text} (status {code})")

    def broken(self, feed: Feed, reason: str) -> None:
        self.interrupt(reason)

    def missed(self, feed: Feed, missed: Missed) -> None:
        feed.notify(missed)
        self._owner.missed(self, missed)

    def other_protocol(self, feed: Feed, node_id: int, protocol: int, count: int) -> None:
        self._owner.other_protocol(self, node_id, protocol, count)

    def without_header(self, node_id: int, count: int, is_intact: bool) -> None:
        self._owner.without_header(node_id, count, is_intact)

    def caught_up(self, feed: Feed) -> None:
        self._owner.caught_up(self)
