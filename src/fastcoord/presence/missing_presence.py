"""Find nodes whose events arrive and whose presence does not: a setting or a right is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["MissingPresence"]

HEARTBEATS_UNTIL_ASKED = 3
HEARTBEATS_UNTIL_REPORTED = 3
MAX_ASKED = 16
"""The most questions at one tick."""


class MissingPresence:
    """Ask each node without presence whether it runs, and report it once if it does not answer.

    :param heartbeat: ``cluster.heartbeat``, in seconds.
    :param ask: sends a question to the node with this id.
    :param report: called once with the id of each node without presence.
    """

    def __init__(
        self, heartbeat: float, ask: Callable[[int], object], report: Callable[[int], object]
    ) -> None:
        self._heartbeat = heartbeat
        self._ask = ask
        self._report = report
        self._since: dict[int, float] = {}
        self._asked: dict[int, float] = {}
        self._ended: set[int] = set()
        """The nodes that have answered or were reported."""

    def answered(self, node_id: int) -> None:
        """Note that a node has answered."""
        self._ended.add(node_id)

    def tick(self, node_ids: Iterable[int], now: float) -> None:
        """Ask and report what is due.

        :param node_ids: the nodes of which events, but no presence was received.
        """
        since = {node_id: self._since.get(node_id, now) for node_id in node_ids}
        self._since = since
        self._asked = {node_id: at for node_id, at in self._asked.items() if node_id in since}
        self._ended &= since.keys()
        asked = 0
        for node_id, seen_at in since.items():
            asked_at = self._asked.get(node_id)
            if node_id in self._ended:
                continue
            if asked_at is not None:
                if now - asked_at >= HEARTBEATS_UNTIL_REPORTED * self._heartbeat:
                    self._ended.add(node_id)
                    self._report(node_id)
            elif now - seen_at >= HEARTBEATS_UNTIL_ASKED * self._heartbeat and asked < MAX_ASKED:
                asked += 1
                self._asked[node_id] = now
                self._ask(node_id)
