"""Which peers the receiving side knows, as presence needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.receiving.receiver import Receiver
    from fastcoord.receiving.rules import Rules

__all__ = ["KnownPeers"]


class KnownPeers:
    """The peers of one node.

    :param receiver: stores their state.
    :param rules: judge their messages.
    """

    def __init__(self, receiver: Receiver, rules: Rules) -> None:
        self._receiver = receiver
        self._rules = rules

    def up(self) -> Sequence[tuple[int, int]]:
        """Return node id and incarnation of each peer that is up."""
        return [
            (node_id, state.incarnation)
            for node_id, state in self._receiver.peers.items()
            if state.history is not None and state.history.is_up
        ]

    def up_now(self) -> Sequence[tuple[int, int]]:
        """Return those peers that were received on the present connection."""
        awaited = self._rules.awaited
        return [pair for pair in self.up() if pair[0] not in awaited]

    def without_presence(self) -> Sequence[int]:
        """Return the peers that are up and of which only events were received."""
        return [
            node_id
            for node_id, state in self._receiver.peers.items()
            if state.received
            and not state.has_presence
            and state.has_header
            and state.history is not None
            and state.history.is_up
        ]

    def has_left(self, node_id: int) -> bool:
        """Return whether a peer has said goodbye."""
        state = self._receiver.peers.get(node_id)
        return state is not None and state.history is not None and state.history.said_goodbye
