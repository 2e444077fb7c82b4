"""Runs of peers with batches that were dropped as ahead, until the missing ones are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from fastcoord.events import Missed

if TYPE_CHECKING:
    from fastcoord.receiving.peer_state import PeerState
    from fastcoord.streaming.runs import Runs

__all__ = ["ENDED_AFTER", "WaitingRuns"]

ENDED_AFTER = 30.0
"""Seconds after which a sender is expected to store nothing again: it is down, or it has stored
further batches since."""


SETTLED_AFTER = 15.0
"""Seconds after which all batches have arrived that were under way when the first one was lost."""


class Wait(NamedTuple):
    """How long a run has waited."""

    since: float
    state: tuple[int, int, int]
    """What was dropped as ahead when the run had settled; see ``Runs.ahead_of``."""
    is_up: bool


class WaitingRuns:
    """Report what a sender has not stored in its place, and will not store any more.

    A sender stores no further batches before it has stored the missing ones. If it does, the stream
    has lost what it had acknowledged.

    :param runs: the runs of the feed of new events.
    :param peers: the state of each peer, by node id.
    """

    def __init__(self, runs: Runs, peers: Mapping[int, PeerState]) -> None:
        self._runs = runs
        self._peers = peers
        self._waits: dict[int, Wait] = {}

    def tick(self, now: float) -> list[Missed]:
        """End the runs that have waited too long. Call this periodically.

        :param now: the time in seconds.
        :return: what is missing.
        """
        waits: dict[int, Wait] = {}
        missed = []
        for node_id in list(self._runs.waiting):
            state = self._runs.ahead_of(node_id)
            if state is None:
                self._runs.expire(node_id)
                continue
            is_up = self._is_up(node_id)
            wait = self._waits.get(node_id)
            if wait is None or wait.state[:2] != state[:2] or wait.is_up != is_up:
                wait = Wait(now, state, is_up)
            elif now - wait.since < SETTLED_AFTER:
                wait = wait._replace(state=state)
            if now - wait.since < ENDED_AFTER or (is_up and wait.state == state):
                waits[node_id] = wait
            elif missing := self._runs.expire(node_id):
                missed.append(Missed(node_id, missing, "gap"))
        self._waits = waits
        return missed

    def _is_up(self, node_id: int) -> bool:
        peer = self._peers.get(node_id)
        return peer is not None and peer.history is not None and peer.history.is_up
