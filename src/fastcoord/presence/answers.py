"""Which questions of other nodes a node answers, and with what."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from fastcoord.presence.claim import CAN_CHANGE
from fastcoord.presence.question_line import EVERYBODY
from fastcoord.presence.token_bucket import TokenBucket

__all__ = ["ANSWERS_PER_SECOND", "ANSWER_BURST", "MAX_ROSTER", "Answers"]

ANSWERS_PER_SECOND = 50.0
ANSWER_BURST = 200
"""The most answers of one node: a flood of questions costs no more."""

HELLOS_PER_SECOND = 10.0
HELLO_BURST = 10
"""The most answers to hellos. If many nodes start at once, each knows few others and would answer
too many of them."""

MAX_ROSTER = 64
"""The most peers that one answer to a hello names."""

MAX_ANSWERS_WANTED = 64
"""The most answers to one hello that its sender may ask for, unless it asks everybody."""


class Answers:
    """Decide about the answers of one node.

    :param node_id: the id of this node.
    :param chance: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        node_id: int,
        *,
        chance: random.Random | None = None,
        bucket: TokenBucket | None = None,
    ) -> None:
        self.node_id = node_id
        self.claimed: int | None = None
        """Another id that this node claims and defends."""
        self.can_change = False
        """Whether this node can take another id."""
        self._chance = random.Random() if chance is None else chance
        self._bucket = bucket or TokenBucket(ANSWERS_PER_SECOND, ANSWER_BURST)
        self._hellos = bucket or TokenBucket(HELLOS_PER_SECOND, HELLO_BURST)

    @property
    def refused(self) -> int:
        """How many answers the limit has suppressed."""
        return self._bucket.refused + self._hellos.refused

    def to_hello(
        self,
        asker: int,
        numbers: tuple[int, ...],
        roster: Callable[[], Sequence[tuple[int, int]]],
        peers: int,
        now: float,
    ) -> tuple[int, ...] | None:
        """Answer a node that has just connected, with the peers that are up.

        A few nodes answer, chosen by chance. The newcomer asks again if nobody does.

        :param asker: the node id of the newcomer.
        :param numbers: of its question: token, ``EVERYBODY``, and how many answers it wants; 0 if
            everybody is to answer.
        :param roster: returns node id and incarnation of each peer that was received on this
            connection.
        :param peers: how many peers are up. After an outage this includes those that have not
            connected again yet, so that the first ones to return do not all answer.
        :param now: the time in seconds.
        :return: the numbers of the answer, or ``None`` for no answer.
        """
        if len(numbers) < 3 or numbers[1] != EVERYBODY:
            return None
        wanted = numbers[2]
        if wanted and self._chance.random() * peers >= min(wanted, MAX_ANSWERS_WANTED):
            return None
        if not self._hellos.take(now):
            return None
        named = roster()
        if len(named) > MAX_ROSTER:
            named = self._chance.sample(named, MAX_ROSTER)
        return (numbers[0], asker, *(number for pair in named for number in pair))

    def to_who(self, asker: int, numbers: tuple[int, ...], now: float) -> tuple[int, ...] | None:
        """Answer a node that asks whether the node with this id runs.

        :param numbers: of the question: token and the id of the node that is asked.
        :return: the numbers of the answer, or ``None`` for no answer.
        """
        if numbers[1] not in (self.node_id, self.claimed) or not self._bucket.take(now):
            return None
        return (numbers[0], asker, CAN_CHANGE) if self.can_change else (numbers[0], asker)

    def to_progress(
        self,
        asker: int,
        numbers: tuple[int, ...],
        received: tuple[int, int, int] | None,
        now: float,
    ) -> tuple[int, ...] | None:
        """Answer a node that asks how far its events were received.

        :param numbers: of the question: token, ``EVERYBODY``, the offset up to which the events
            are to be received, and the ids of the nodes that are asked; without ids all nodes.
        :param received: the expected offset of the asker's run here, the end of the last gap in
            this run, and the offset at which this node began to receive it; ``None`` if nothing of
            this run was received.
        :return: the numbers of the answer, or ``None`` for no answer.
        """
        if len(numbers) < 3 or numbers[1] != EVERYBODY or received is None:
            return None
        asked = numbers[3:]
        if (asked and self.node_id not in asked) or not self._bucket.take(now):
            return None
        return (numbers[0], asker, *received)


def read_roster(numbers: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return node id and incarnation of each peer that an answer to a hello names.

    :param numbers: of the answer: token, the id of this node, then pairs.
    """
    pairs = zip(numbers[2::2], numbers[3::2], strict=False)
    return [(node_id, incarnation) for node_id, incarnation in pairs if node_id < EVERYBODY]
