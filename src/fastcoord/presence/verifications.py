"""Questions to nodes about which the received messages disagree."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MAX_OPEN", "Verifications"]

MAX_OPEN = 64
"""The most questions under way. Further ones are dropped; the message that caused one is dropped as
well, and the next such message causes another."""


class Verifications:
    """Ask each node at most once a heartbeat, and report the nodes that do not answer.

    :param heartbeat: ``cluster.heartbeat``, in seconds. So long a node may take to answer.
    :param ask: sends the question to the node with this id, and returns its token.
    :param unanswered: called with the id of a node that has not answered in time.
    """

    def __init__(
        self,
        heartbeat: float,
        ask: Callable[[int], int],
        unanswered: Callable[[int], object],
    ) -> None:
        self._heartbeat = heartbeat
        self._ask = ask
        self._unanswered = unanswered
        self._asked: dict[int, tuple[float, int, bool]] = {}
        self.refused = 0
        """How many questions were dropped because too many were under way."""

    def request(self, node_id: int, now: float) -> None:
        """Ask a node for its own word, unless it was asked less than a heartbeat ago.

        :param now: the time in seconds.
        """
        if node_id in self._asked:
            return
        if len(self._asked) >= MAX_OPEN:
            self.refused += 1
            return
        self._asked[node_id] = (now, self._ask(node_id), False)

    def answered(self, node_id: int, token: int) -> bool:
        """Note an answer of a node, and return whether it belongs to the question."""
        asked_at, asked_token, _ = self._asked.get(node_id, (0.0, None, False))
        if asked_token != token:
            return False
        self._asked[node_id] = (asked_at, token, True)
        return True

    def tick(self, now: float) -> None:
        """End the questions that are older than a heartbeat."""
        ended = {
            node_id: is_answered
            for node_id, (asked_at, _, is_answered) in self._asked.items()
            if now - asked_at >= self._heartbeat
        }
        for node_id, is_answered in ended.items():
            del self._asked[node_id]
            if not is_answered:
                self._unanswered(node_id)

    def clear(self) -> None:
        """Forget the questions of a lost connection."""
        self._asked.clear()
