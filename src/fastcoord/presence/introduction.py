"""The hello of a node on its connection, and the answers by which it learns which peers are up."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from fastcoord._deadline import within
from fastcoord.presence.question_line import EVERYBODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.presence.questions import Answer, Questions

__all__ = ["JOIN_LIMIT", "Introduction"]

JOIN_LIMIT = 0.5
"""The most seconds that a new node waits for answers to its hello."""

QUIET_TIME = 0.05
"""After this many seconds without another answer, all peers are considered to have answered. If the
first answer took longer, its time is used instead."""

ANSWERS_WANTED = 4
ANSWERS_WANTED_OF_CLUSTER = 16
"""How many peers answer a hello on average. In a cluster of servers an answer proves that the
peer's server knows the subscriptions of the newcomer, so that peers on all servers should answer.
"""

MAX_HELLOS = 3
"""How often a node asks for a roster on one connection, half a heartbeat apart. The last hello asks
everybody."""


class Introduction:
    """Say hello, and wait for answers.

    :param heartbeat: ``cluster.heartbeat``, in seconds.
    :param questions: the questions of the node.
    :param send: sends a hello with these numbers.
    """

    def __init__(
        self,
        heartbeat: float,
        questions: Questions,
        send: Callable[[tuple[int, ...]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._heartbeat = heartbeat
        self._questions = questions
        self._send = send
        self._token: int | None = None
        self._hellos = 0
        self._hello_at = 0.0
        self.is_clustered = False
        """Whether the server belongs to a cluster."""
        self._answered = asyncio.Event()
        self.has_answer = False
        """Whether a peer has answered the hello of this connection."""
        self._is_complete = asyncio.Event()
        """Set when a peer has answered the hello, or when there is none."""
        self._is_alone = False
        self._quiet: asyncio.TimerHandle | None = None

    def begin(self, take: Callable[[Answer], object], *, is_clustered: bool) -> None:
        """Say the first hello on a new connection.

        :param take: processes an answer.
        :param is_clustered: whether the server belongs to a cluster.
        """
        if self._token is not None:
            self._questions.close(self._token)
        if self._quiet is not None:
            # The answers on the last connection say nothing about this one.
            self._quiet.cancel()
        self._answered.clear()
        self._is_alone = False
        self.has_answer = False
        self._is_complete.clear()
        self.is_clustered = is_clustered
        self._token = self._questions.open(take)
        self._hellos = 0
        self._say_hello(self._token)

    def _say_hello(self, token: int) -> None:
        self._hellos += 1
        self._hello_at = self._loop.time()
        wanted = ANSWERS_WANTED_OF_CLUSTER if self.is_clustered else ANSWERS_WANTED
        if self._hellos == MAX_HELLOS:
            wanted = 0
        self._send((token, EVERYBODY, wanted))

    def repeat(self, now: float) -> bool:
        """Say hello again if it is due, because nobody has answered.

        :return: whether a hello was due.
        """
        if (
            self._token is None
            or self.has_answer
            or self._is_complete.is_set()
            or now - self._hello_at < 0.45 * self._heartbeat
        ):
            return False
        if self._hellos < MAX_HELLOS:
            self._say_hello(self._token)
        else:
            self._is_complete.set()
        return True

    def nobody(self) -> None:
        """Note that the server has delivered the hello to no other node."""
        self._is_alone = True
        self._answered.set()
        self._is_complete.set()

    def answered(self) -> None:
        """Note that a peer has answered. Others answer at about the same time, with other peers."""
        if not self.has_answer:
            self.has_answer = True
            elapsed = self._loop.time() - self._hello_at
            self._quiet = self._loop.call_later(max(QUIET_TIME, elapsed), self._is_complete.set)

    def joined(self) -> None:
        """Note that a peer with another node id has answered, which proves the join."""
        self._answered.set()

    async def complete(self, timeout: float) -> None:
        """Wait until the peers that are up are known; at most ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            await within(self._is_complete.wait(), timeout)

    async def prove_join(self) -> None:
        """Wait until peers have answered the hello; at most 0.5 s.

        A server forwards the subscriptions of this node to other servers before it forwards the
        hello. If a peer answers, its server therefore knows the subscriptions. If there is no
        peer, the server itself answers at once. Without an answer there is no proof.
        """
        started = self._loop.time()
        timeout = JOIN_LIMIT
        quiet = None
        try:
            while timeout > 0 and not self._is_alone:
                await within(self._answered.wait(), timeout)
                self._answered.clear()
                if quiet is None:
                    quiet = max(QUIET_TIME, self._loop.time() - started)
                timeout = min(quiet, started + JOIN_LIMIT - self._loop.time())
        except TimeoutError:
            return
