"""What the receiving side knows of the peers, as presence needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.receiving.gaps import GapDetector
    from fastcoord.receiving.receiver import Receiver

__all__ = ["PeersOfReceiver"]


class PeersOfReceiver:
    """The peers of one node.

    :param receiver: stores their state.
    :param gap_detector: judges their messages.
    """

    def __init__(self, receiver: Receiver, gap_detector: GapDetector) -> None:
        self._receiver = receiver
        self._gap_detector = gap_detector

    def up(self) -> Sequence[tuple[int, int]]:
        """Return node id and incarnation of each peer that is up."""
        return [
            (node_id, state.incarnation)
            for node_id, state in self._receiver.peers.items()
            if state.history is not None and state.history.is_up
        ]

    def up_now(self) -> Sequence[tuple[int, int]]:
        """Return those peers that were received on the present connection."""
        awaited = self._gap_detector.awaited
        return [pair for pair in self.up() if pair[0] not in awaited]

    def has_left(self, node_id: int) -> bool:
        """Return whether a peer has said goodbye."""
        state = self._receiver.peers.get(node_id)
        return state is not None and state.history is not None and state.history.said_goodbye

    def roster(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Process the peers that an answer to this node's hello names."""
        for node_id, _ in pairs:
            state = self._receiver.peer(node_id)
            if state.history is None and node_id != self._receiver.node_id:
                self._gap_detector.mark_up(state, self._gap_detector.received(state))

    def own_word(
        self,
        node_id: int,
        incarnation: int,
        connection: int,
        offset: int,
        discarded: int,
        now: float,
    ) -> None:
        """Process the answer of a node that was asked for its own word."""

    def unanswered(self, node_id: int) -> None:
        """Process that a node did not answer."""

    def received_by(self, node_id: int, incarnation: int) -> tuple[int, int, int] | None:
        """Return how far a run was received: expected offset, end of the last gap, first offset."""
        state = self._receiver.peers.get(node_id)
        if state is None or not state.has_header or state.incarnation != incarnation:
            return None
        return (state.expected, 0, 0)
