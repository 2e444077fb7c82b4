"""How often a node sends a heartbeat."""

from __future__ import annotations

__all__ = ["HEARTBEATS_PER_SECOND", "MAX_SKIPPED", "Heartbeats", "heartbeat_interval"]

HEARTBEATS_PER_SECOND = 200
"""The most heartbeats that all nodes of a cluster send in a second."""

MAX_SKIPPED = 8
"""A node whose events replace its heartbeats sends a heartbeat after this many intervals anyway, so
that a newcomer receives its presence."""


def heartbeat_interval(heartbeat: float, nodes: int) -> float:
    """Return the seconds between two heartbeats of one node.

    :param heartbeat: ``cluster.heartbeat``, in seconds.
    :param nodes: how many nodes are up.
    """
    return max(heartbeat, nodes / HEARTBEATS_PER_SECOND)


class Heartbeats:
    """Decide when a node sends its next heartbeat.

    :param heartbeat: ``cluster.heartbeat``, in seconds. ``is_due`` is called twice in this time.
    """

    def __init__(self, heartbeat: float) -> None:
        self._heartbeat = heartbeat
        self._last = 0.0
        self.interval = heartbeat
        """Seconds between two heartbeats."""

    def resize(self, nodes: int) -> None:
        """Adapt the interval to the number of nodes that are up."""
        self.interval = heartbeat_interval(self._heartbeat, nodes)

    def sent(self, now: float) -> None:
        """Note that a message was sent on the presence subject."""
        self._last = now

    def is_due(self, last_sent: float, now: float) -> bool:
        """Return whether to send a heartbeat now.

        :param last_sent: when the node sent its last message of any kind.
        """
        # A call may come a quarter of a heartbeat early or late.
        patience = self.interval - 0.25 * self._heartbeat
        return now - last_sent >= patience or now - self._last >= MAX_SKIPPED * self.interval
