"""Requests between nodes: pings, and the join request of a new node."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from typing import TYPE_CHECKING

from fastcoord._deadline import within
from fastcoord.errors import RequestTimeout

if TYPE_CHECKING:
    from fastcoord.nats.connection import Connection

__all__ = ["Pings"]

PING_SID = 2
PONG_SID = 3
JOIN_SID = 4
JOIN_LIMIT = 0.5
"""The most seconds that a new node waits for answers to its join request."""

QUIET_TIME = 0.02
"""After this many seconds without another answer, all peers are considered to have answered. If the
first answer took longer, its time is used instead."""

LARGEST_NODE_ID = 0xFFFF
TOKEN = re.compile(rb"[0-9a-f]{16}")


class Pings:
    """Send pings and join requests, and answer those of other nodes.

    A ping to node 7 is published on ``<subject>.ping.7``. Its payload is a token, and its reply
    subject belongs to this incarnation. The answer has the same token. A join request is the same
    message on ``<subject>.join``, and every peer answers it.

    :param subject: the cluster's subject.
    :param node_id: the id of this node.
    :param incarnation: the incarnation of this node.
    """

    def __init__(self, subject: str, node_id: int, incarnation: int) -> None:
        self._subject = subject
        self._node_id = node_id
        self._reply = f"{subject}.pong.{node_id}.{incarnation}".encode()
        # Reply subjects come from the network, so only subjects of this form are written into a
        # protocol line.
        self._allowed_reply = re.compile(
            re.escape(f"{subject}.pong.").encode() + rb"[0-9]{1,5}\.[0-9]{1,20}"
        )
        self._joining: tuple[bytes, asyncio.Event] | None = None
        self._pending: dict[bytes, asyncio.Future[None]] = {}
        self.round_trips: dict[int, float] = {}

    def subscribe(self, connection: Connection) -> None:
        """Subscribe to requests and answers on a new connection."""
        connection.subscribe(f"{self._subject}.ping.{self._node_id}", PING_SID)
        connection.subscribe(self._reply.decode(), PONG_SID)
        connection.subscribe(f"{self._subject}.join", JOIN_SID)

    async def prove_join(self, connection: Connection) -> None:
        """Send a join request, and wait until all peers have answered; at most 0.5 s.

        A server forwards the subscriptions of this node to other servers before it forwards the
        request. If a peer answers, its server therefore knows the subscriptions. If there is no
        peer, the server itself answers at once. If the server refuses the request, this method
        returns without proof.
        """
        if not connection.is_clustered:
            # There is only one server, and its PONG has confirmed the subscriptions.
            return
        subject = f"{self._subject}.join"
        token = secrets.token_hex(8).encode()
        answered = asyncio.Event()
        self._joining = (token, answered)
        loop = asyncio.get_running_loop()
        started = loop.time()
        connection.publish_raw(subject.encode(), token, self._reply)
        # If the server refuses the request, its -ERR arrives before this PONG.
        connection.ping(lambda: answered.set() if connection.has_refused(subject) else None)
        timeout = JOIN_LIMIT
        quiet = None
        try:
            while timeout > 0:
                await within(answered.wait(), timeout)
                if self._joining is None or connection.has_refused(subject):
                    return
                answered.clear()
                if quiet is None:
                    quiet = max(QUIET_TIME, loop.time() - started)
                timeout = min(quiet, started + JOIN_LIMIT - loop.time())
        except TimeoutError:
            return
        finally:
            self._joining = None

    def take(self, connection: Connection, sid: int, reply: bytes, payload: bytes) -> None:
        """Answer a request of another node, or process an answer; drop other messages."""
        if sid == PONG_SID and self._joining is not None and payload in (b"", self._joining[0]):
            # An empty payload comes from the server: no other node has subscribed.
            self._joining[1].set()
            if not payload:
                self._joining = None
        if not TOKEN.fullmatch(payload):
            return
        if sid in (PING_SID, JOIN_SID) and self._allowed_reply.fullmatch(reply):
            if reply != self._reply:
                connection.publish_raw(reply, payload)
        elif sid == PONG_SID:
            answered = self._pending.get(payload)
            if answered is not None and not answered.done():
                answered.set_result(None)

    async def ping(self, connection: Connection | None, node_id: int, timeout: float) -> float:
        """Send a ping to a node and wait for its answer.

        :return: the round-trip time, in seconds.
        :raises TypeError: the node id is not an integer.
        :raises ValueError: no other node can have this id.
        :raises RequestTimeout: there is no connection, or no answer came in time.
        """
        if isinstance(node_id, bool) or not isinstance(node_id, int):
            raise TypeError(f"node_id must be an integer, not {type(node_id).__name__}")
        if not 0 <= node_id <= LARGEST_NODE_ID:
            raise ValueError(f"node_id must be from 0 to {LARGEST_NODE_ID}, not {node_id}")
        if node_id == self._node_id:
            raise ValueError(f"node_id must be the id of another node; {node_id} is this node")
        if connection is None:
            raise RequestTimeout(f"ping: node {node_id} cannot be reached without a connection")
        loop = asyncio.get_running_loop()
        token = secrets.token_hex(8).encode()
        answered = self._pending[token] = loop.create_future()
        # The clocks of some event loops have a resolution of only 1 ms.
        started = time.perf_counter()
        try:
            connection.publish_raw(f"{self._subject}.ping.{node_id:d}".encode(), token, self._reply)
            await within(answered, timeout)
        except TimeoutError:
            raise RequestTimeout(f"ping: node {node_id} did not answer in {timeout:g} s") from None
        finally:
            del self._pending[token]
        self.round_trips[node_id] = time.perf_counter() - started
        return self.round_trips[node_id]

    def end(self, reason: Exception) -> None:
        """Raise ``reason`` in every pending ping."""
        for answered in self._pending.values():
            if not answered.done():
                answered.set_exception(reason)
