"""Requests from node to node beside the events: the ping."""

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
LARGEST_NODE_ID = 0xFFFF
TOKEN = re.compile(rb"[0-9a-f]{16}")


class Pings:
    """Send pings to other nodes and answer theirs.

    A ping to node 7 is published on ``<subject>.ping.7`` with a token as payload and a reply
    subject of this incarnation; the answer carries the same token.

    :param subject: the cluster's subject.
    :param node_id: this node.
    :param incarnation: this run of the node.
    """

    def __init__(self, subject: str, node_id: int, incarnation: int) -> None:
        self._subject = subject
        self._node_id = node_id
        self._reply = f"{subject}.pong.{node_id}.{incarnation}".encode()
        # No other reply subject is written into a protocol line: it comes from the network.
        self._allowed_reply = re.compile(
            re.escape(f"{subject}.pong.").encode() + rb"[0-9]{1,5}\.[0-9]{1,20}"
        )
        self._pending: dict[bytes, asyncio.Future[None]] = {}
        self.round_trips: dict[int, float] = {}

    def subscribe(self, connection: Connection) -> None:
        """Subscribe to requests and answers on a new connection."""
        connection.subscribe(f"{self._subject}.ping.{self._node_id}", PING_SID)
        connection.subscribe(self._reply.decode(), PONG_SID)

    def take(self, connection: Connection, sid: int, reply: bytes, payload: bytes) -> None:
        """Answer a request or complete a pending ping; drop anything else."""
        if not TOKEN.fullmatch(payload):
            return
        if sid == PING_SID and self._allowed_reply.fullmatch(reply):
            connection.publish_raw(reply, payload)
        elif sid == PONG_SID:
            answered = self._pending.get(payload)
            if answered is not None and not answered.done():
                answered.set_result(None)

    async def ping(self, connection: Connection | None, node_id: int, timeout: float) -> float:
        """Send a ping to a node and wait for its answer.

        :return: the round trip, in seconds.
        :raises TypeError: the node id is no integer.
        :raises ValueError: no other node can have this id.
        :raises RequestTimeout: there is no connection, or no answer came in time.
        """
        if isinstance(node_id, bool) or not isinstance(node_id, int):
            raise TypeError(f"node_id must be an integer, not {type(node_id).__name__}")
        if not 0 <= node_id <= LARGEST_NODE_ID:
            raise ValueError(f"node_id must be from 0 to {LARGEST_NODE_ID}, not {node_id}")
        if node_id == self._node_id:
            raise ValueError(f"node_id must be that of another node; {node_id} is this one")
        if connection is None:
            raise RequestTimeout(f"ping: node {node_id} cannot be reached without a connection")
        loop = asyncio.get_running_loop()
        token = secrets.token_hex(8).encode()
        answered = self._pending[token] = loop.create_future()
        # The clock of some event loops has milliseconds only.
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
