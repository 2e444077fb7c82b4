"""Questions to nodes about which the received messages disagree."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MAX_OPEN", "Verifications"]

MAX_OPEN = 64
"""The most questions under way. Further ones are dropped; the message that caused one is dropped as
well, and the next such message causes another."""


class Verifications:
    """Ask each node at most once a heartbeat.

    :param heartbeat: ``cluster.heartbeat``, in seconds. So long a node may take to answer.
    :param ask: sends the question to the node with this id, and returns its token.
    """

    def __init__(self, heartbeat: float, ask: Callable[[int], int]) -> None:
        self._heartbeat = heartbeat
        self._ask = ask
        self._asked: dict[int, tuple[float, int]] = {}
        """For each node: when it was asked, and the token of the question."""
        self.refused = 0
        """How many questions were dropped because too many were under way."""

    def request(self, node_id: int, now: float) -> bool:
        """Ask a node for its own word, unless it was asked less than a heartbeat ago.

        :param now: the time in seconds.
        :return: whether a question was sent.
        """
        if node_id in self._asked:
            return False
        if len(self._asked) >= MAX_OPEN:
            self.refused += 1
            return False
        self._asked[node_id] = (now, self._ask(node_id))
        return True

    def answered(self, node_id: int, token: int) -> bool:
        """Return whether an answer of a node belongs to the question that it was asked last."""
        return node_id in self._asked and self._asked[node_id][1] == token

    def tick(self, now: float) -> None:
        """End the questions that are older than a heartbeat."""
        self._asked = {
            node_id: (asked_at, token)
            for node_id, (asked_at, token) in self._asked.items()
            if now - asked_at < self._heartbeat
        }

    def clear(self) -> None:
        """Forget the questions of a lost connection."""
        self._asked.clear()
