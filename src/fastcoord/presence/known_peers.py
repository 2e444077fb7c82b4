"""What the receiving side knows of the peers, as presence needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastcoord.receiving.receiver import Receiver
    from fastcoord.receiving.rules import Rules

__all__ = ["KnownPeers", "PeersOfReceiver"]

ReceivedBy = Callable[[int, int, int], tuple[int, int, int] | None]


class KnownPeers(Protocol):
    """What the receiving side knows of the peers."""

    def up(self) -> Sequence[tuple[int, int]]:
        """Return node id and incarnation of each peer that is up."""

    def up_now(self) -> Sequence[tuple[int, int]]:
        """Return those peers that were received on the present connection."""

    def without_presence(self) -> Sequence[int]:
        """Return the peers that are up and of which only events were received."""

    def has_left(self, node_id: int) -> bool:
        """Return whether a peer has said goodbye."""

    def roster(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Process the peers that an answer to this node's hello names."""

    def introduced(
        self, node_id: int, incarnation: int, connection: int, offset: int, discarded: int
    ) -> None:
        """Process the sender of an answer to this node's hello."""

    def join_proven(self) -> None:
        """Note that the servers of the peers that have answered knew this node's subscriptions."""

    def join_unproven(self) -> None:
        """Report what the other peers may have published before their servers knew them."""

    def own_id_received(self, incarnation: int) -> None:
        """Process a message of another run that uses this node's id."""

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

    def received_by(
        self, node_id: int, incarnation: int, up_to: int
    ) -> tuple[int, int, int] | None:
        """Return how far a run was received: expected offset, end of the last gap, first offset.

        :param up_to: the offset that is asked for.
        """


class PeersOfReceiver:
    """The peers of one node.

    :param receiver: stores their state.
    :param rules: judge their messages.
    :param received_by: called with node id, incarnation and the offset that is asked for; returns
        how far a run was received: expected offset, end of the last gap, first offset; ``None`` if
        nothing was received.
    """

    def __init__(self, receiver: Receiver, rules: Rules, received_by: ReceivedBy) -> None:
        self._receiver = receiver
        self._rules = rules
        self.received_by = received_by

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

    def roster(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Process the peers that an answer to this node's hello names."""
        self._rules.roster(pairs)

    def introduced(
        self, node_id: int, incarnation: int, connection: int, offset: int, discarded: int
    ) -> None:
        """Process the sender of an answer to this node's hello."""
        self._rules.introduced(node_id, incarnation, connection, offset, discarded)

    def join_proven(self) -> None:
        """Note that the servers of the peers that have answered knew this node's subscriptions."""
        self._rules.join_proven()

    def join_unproven(self) -> None:
        """Report what the other peers may have published before their servers knew them."""
        self._rules.join_unproven()

    def own_id_received(self, incarnation: int) -> None:
        """Process a message of another run that uses this node's id."""
        self._rules.own_id_received(incarnation)

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
        self._rules.own_word(node_id, incarnation, connection, offset, discarded, now)
