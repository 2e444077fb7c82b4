"""The claim of a node id: a question to every other node that may use or claim the same id.

A node that runs with the id answers, and so refuses the claim. Of two nodes that claim the same id
at once, the older run keeps it. At least one of them receives the question of the other, because
both subscribe before they ask.

If a question or an answer takes longer than a claim waits, a younger run may have decided its claim
before it receives the objection of an older one. It keeps the id unless the older one runs with it
as well: a claim alone does not end a run, because the run refuses this claim. So at least one of
all these nodes keeps the id.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastcoord._deadline import within

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.nats.connection import Connection
    from fastcoord.presence.questions import Answer, Questions

__all__ = ["CAN_CHANGE", "CLAIM", "CLAIM_TIME", "Claim", "Claims", "is_claim_to"]

CLAIM = 1
"""The number behind the node id of a question that claims this id."""

CAN_CHANGE = 1
"""The number in the answer of a node that can take another id."""

CLAIM_TIME = 0.1
CLAIM_TIME_OF_CLUSTER = 0.25
"""The seconds for which a claim waits for objections, on one server and in a cluster of them."""

STEPS = 5

PAUSE = 0.05
"""The seconds between two looks for a connection."""


def is_claim_to(node_id: int, question: tuple[int, ...]) -> bool:
    """Return whether a question claims this id.

    :param question: its numbers.
    """
    return question[1:3] == (node_id, CLAIM)


class Claim:
    """A claim that is not decided.

    :param node_id: the id that is claimed.
    """

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.is_refused = False
        self.is_alone = False
        self._failure: Exception | None = None
        self._decided = asyncio.Event()

    def refuse(self) -> None:
        """Note that another node uses this id, or has the older claim to it."""
        self.is_refused = True
        self._decided.set()

    def confirm(self) -> None:
        """Note that the server has delivered the question to no other node."""
        self.is_alone = True
        self._decided.set()

    def fail(self, reason: Exception) -> None:
        """Raise ``reason`` in ``decide``."""
        self._failure = reason
        self._decided.set()

    async def wait(self, seconds: float) -> None:
        """Wait until the claim is refused or confirmed, for a limited time.

        :param seconds: the limit.
        """
        # The time is counted in steps, so that a slow event loop reads what has arrived meanwhile.
        for _ in range(STEPS):
            try:
                await within(self._decided.wait(), seconds / STEPS)
                break
            except TimeoutError:
                continue
        if self._failure is not None:
            raise self._failure


class Claims:
    """Decide the claims of one node, one after the other.

    :param questions: the questions of the node.
    :param heartbeat: ``cluster.heartbeat``, in seconds.
    :param late_objection: called with an answer to a claim that is decided.
    """

    def __init__(
        self,
        questions: Questions,
        heartbeat: float,
        late_objection: Callable[[Answer], object],
    ) -> None:
        self._questions = questions
        self._heartbeat = heartbeat
        self._late_objection = late_objection
        self._open: Claim | None = None

    async def decide(self, node_id: int, connection_now: Callable[[], Connection | None]) -> bool:
        """Ask whether another node uses or claims an id.

        :param connection_now: returns the connection of the node.
        :return: whether the id is free.
        """
        claim = self._open = Claim(node_id)

        def take(answer: Answer) -> None:
            if self._open is claim:
                claim.refuse()
            else:
                self._late_objection(answer)

        token = self._questions.open(take)
        # A busy node may object late.
        loop = asyncio.get_running_loop()
        loop.call_later(3 * self._heartbeat, self._questions.close, token)
        try:
            asked: Connection | None = None
            while not claim.is_refused:
                connection = connection_now()
                if connection is not None and (connection is asked or claim.is_alone):
                    break
                asked = connection
                if connection is not None:
                    self._questions.ask("who", token, node_id, CLAIM)
                    is_clustered = connection.is_clustered
                    await claim.wait(CLAIM_TIME_OF_CLUSTER if is_clustered else CLAIM_TIME)
                else:
                    await claim.wait(PAUSE)
        finally:
            self._open = None
        return not claim.is_refused

    @property
    def is_open(self) -> bool:
        """Whether this node claims an id now."""
        return self._open is not None

    def is_undecided(self, question: tuple[int, ...], asker: int, own: int) -> bool:
        """Process a question to the id that is claimed now, if it is one.

        :param question: the numbers of the question.
        :param asker: the incarnation of the node that asks.
        :param own: the incarnation of this node.
        :return: whether this node must not answer, because it does not run with the id yet, or
            because the other claim is the older one.
        """
        claim = self._open
        if claim is None or question[1] != claim.node_id:
            return False
        if question[2:3] != (CLAIM,):
            return True
        if asker < own:
            claim.refuse()
            return True
        return False

    def confirm(self) -> bool:
        """Note that the server has delivered a question to no other node.

        :return: whether a claim was open.
        """
        if self._open is None:
            return False
        self._open.confirm()
        return True

    def refuse(self, node_id: int) -> bool:
        """Refuse the open claim to an id, because a node was received that uses it.

        :return: whether this id is claimed.
        """
        if self._open is None or self._open.node_id != node_id:
            return False
        self._open.refuse()
        return True

    def end(self, reason: Exception) -> None:
        """Raise ``reason`` in ``decide``."""
        if self._open is not None:
            self._open.fail(reason)
