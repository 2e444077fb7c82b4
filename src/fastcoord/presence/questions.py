"""The questions of this node that wait for answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fastcoord._clock import clock_of
from fastcoord.errors import PeersUnconfirmed, RequestTimeout
from fastcoord.presence.question_line import EVERYBODY, write_line

if TYPE_CHECKING:
    from fastcoord.nats.connection import Note
    from fastcoord.presence.progress import JoinOffsets, Progress

__all__ = ["Answer", "Questions"]

TOKEN_BITS = 64
LARGEST_NODE_ID = 0xFFFF

PING_PAUSE = 1.0
"""The seconds until a ping is repeated the first time; they double from then on."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""The seconds between two questions of ``flush(peers=True)``: they double from the first on."""

MAX_NAMED = 64
"""If at most so many peers have not confirmed, a further question names them, and no other peer
answers."""

MAX_LISTED = 20
"""The most node ids in the text of an exception."""


class Answer(NamedTuple):
    """An answer of another node to a question of this one.

    :ivar node_id: the node that answers, and its incarnation, offset, ``discarded`` and the number
        of its connection, from the sequence header.
    :ivar numbers: what the answer says, without token and node id.
    """

    node_id: int
    incarnation: int
    offset: int
    discarded: int
    connection: int
    numbers: tuple[int, ...]


Handler = Callable[[Answer], object]


class Questions:
    """Send questions, and pass answers to those who wait for them.

    :param node_id: the id of this node.
    :param send: sends a message with a note and the value of the question line to the presence
        subject; returns whether there is a connection.
    """

    def __init__(self, node_id: int, send: Callable[[Note, bytes], bool]) -> None:
        self.node_id = node_id
        self._send = send
        self._handlers: dict[int, Handler] = {}
        self._pending: set[asyncio.Future[None]] = set()
        self.round_trips: dict[int, float] = {}
        """The time of the last answered ping to each node, in seconds."""

    def open(self, handler: Handler) -> int:
        """Pass answers to a handler from now on, until ``close``.

        :return: the token of the question. No other node can guess it.
        """
        token = self.new_token()
        self._handlers[token] = handler
        return token

    def new_token(self) -> int:
        """Return a token for a question whose answers the caller recognizes by itself."""
        return secrets.randbits(TOKEN_BITS)

    def close(self, token: int) -> None:
        """Drop further answers to a question."""
        self._handlers.pop(token, None)

    def ask(self, note: Note, token: int, node_id: int, *numbers: int) -> bool:
        """Send a question.

        :param note: what is asked.
        :param node_id: the node that is asked, or ``EVERYBODY``.
        :return: whether there is a connection.
        """
        return self._send(note, write_line((token, node_id, *numbers)))

    def take(self, token: int, answer: Answer) -> bool:
        """Process an answer.

        :return: whether this node waits for it.
        """
        handler = self._handlers.get(token)
        if handler is None:
            return False
        handler(answer)
        return True

    def end(self, reason: Exception) -> None:
        """Raise ``reason`` in every call that waits."""
        for waiter in self._pending:
            if not waiter.done():
                waiter.set_exception(reason)

    # ------------------------------------------------------------------------------- ping

    async def ping(self, node_id: int, timeout: float) -> float:
        """Ask a node whether it runs, and wait for its answer.

        :return: the round-trip time, in seconds.
        :raises TypeError: the node id is not an integer.
        :raises ValueError: no other node can have this id.
        :raises RequestTimeout: there is no connection, or no answer came in time.
        """
        if isinstance(node_id, bool) or not isinstance(node_id, int):
            raise TypeError(f"node_id must be an integer, not {type(node_id).__name__}")
        if not 0 <= node_id <= LARGEST_NODE_ID:
            raise ValueError(f"node_id must be from 0 to {LARGEST_NODE_ID}, not {node_id}")
        if node_id == self.node_id:
            raise ValueError(f"node_id must be the id of another node; {node_id} is this node")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        answered = self._new_waiter()
        tokens: list[int] = []
        pause = PING_PAUSE
        try:
            while not answered.done():
                tokens.append(self._ask_once(node_id, answered))
                await asyncio.wait({answered}, timeout=min(pause, deadline - loop.time()))
                if not answered.done() and loop.time() >= deadline:
                    raise RequestTimeout(f"ping: node {node_id} did not answer in {timeout:g} s")
                # A node that receives too many questions drops some.
                pause *= 2
            answered.result()
        finally:
            for token in tokens:
                self.close(token)
            self._pending.discard(answered)
            answered.cancel()
        return self.round_trips[node_id]

    def _ask_once(self, node_id: int, answered: asyncio.Future[None]) -> int:
        """Ask a node whether it runs, and note the time of its answer.

        :return: the token of the question.
        :raises RequestTimeout: there is no connection.
        """
        clock = clock_of(asyncio.get_running_loop())
        started = clock()

        def take(answer: Answer) -> None:
            if answer.node_id == node_id and not answered.done():
                self.round_trips[node_id] = clock() - started
                answered.set_result(None)

        token = self.open(take)
        if not self.ask("who", token, node_id):
            self.close(token)
            raise RequestTimeout(f"ping: node {node_id} cannot be reached without a connection")
        return token

    # ------------------------------------------------------------------------------ flush

    async def confirm(
        self,
        progress: Progress,
        joined: JoinOffsets,
        has_left: Callable[[int], bool],
        deadline: float,
    ) -> frozenset[int]:
        """Ask all peers how far they have received this node's events, until all have everything.

        :param progress: which peers are asked for which events.
        :param joined: when each peer joined.
        :param has_left: returns whether a peer has said goodbye.
        :param deadline: a time on the event loop's clock.
        :return: the ids of the peers that have received everything.
        :raises PeersUnconfirmed: at least one peer has not.
        """
        loop = asyncio.get_running_loop()
        decided = self._new_waiter()

        def take(answer: Answer) -> None:
            if len(answer.numbers) >= 3:
                joined_at = joined.of(answer.node_id, answer.incarnation)
                expected, gap_end, began_at = answer.numbers[:3]
                progress.answered(answer.node_id, expected, gap_end, began_at, joined_at)
                if progress.is_decided and not decided.done():
                    decided.set_result(None)

        token = self.open(take)
        named: list[int] = []
        pause = FIRST_PAUSE
        try:
            while progress.waiting and not decided.done():
                self.ask("progress", token, EVERYBODY, progress.up_to, *named)
                left = deadline - loop.time()
                if left <= 0:
                    break
                await asyncio.wait({decided}, timeout=min(pause, left))
                for node_id in [each for each in progress.waiting if has_left(each)]:
                    progress.leave(node_id)
                named = sorted(progress.waiting) if len(progress.waiting) <= MAX_NAMED else []
                pause = min(2 * pause, LONGEST_PAUSE)
            if decided.done():
                decided.result()
        finally:
            self.close(token)
            self._pending.discard(decided)
            decided.cancel()
        missing = progress.missing
        if missing:
            raise PeersUnconfirmed(_describe(progress), missing=missing)
        return frozenset(progress.confirmed)

    def _new_waiter(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.add(waiter)
        return waiter


def _describe(progress: Progress) -> str:
    parts = []
    if progress.lost:
        parts.append(f"{_ids(progress.lost)} missed events")
    if progress.waiting:
        parts.append(f"{_ids(progress.waiting)} did not confirm in time")
    return f"flush: not every peer has all events: {', and '.join(parts)}"


def _ids(node_ids: set[int]) -> str:
    listed = ", ".join(str(node_id) for node_id in sorted(node_ids)[:MAX_LISTED])
    more = len(node_ids) - MAX_LISTED
    noun = "node" if len(node_ids) == 1 else "nodes"
    return f"{noun} {listed}{f' and {more} more' if more > 0 else ''}"
