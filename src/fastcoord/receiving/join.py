"""What this node learns about runs while it joins or returns, from other nodes and from servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastcoord.receiving.peers import Run, Tail

if TYPE_CHECKING:
    from fastcoord.receiving.own_id_use import OwnIdUse
    from fastcoord.receiving.peers import PeerHistory
    from fastcoord.receiving.runs import Runs

__all__ = ["Join"]


class Join:
    """Note the runs that other nodes name, and report what may be missing from before the join.

    :param runs: the runs of the peers.
    :param own_id: notes other runs of this node's id.
    """

    def __init__(self, runs: Runs, own_id: OwnIdUse) -> None:
        self._runs = runs
        self._own_id = own_id

    def roster(self, runs: Iterable[tuple[int, int]]) -> None:
        """Note runs that another node has received.

        :param runs: node id and incarnation of each.
        """
        for node_id, incarnation in runs:
            if node_id != self._runs.receiver.node_id:
                self._note_up(node_id, incarnation)
            elif incarnation != self._runs.receiver.incarnation:
                self._own_id.received(incarnation)

    def introduced(
        self, node_id: int, incarnation: int, connection: int, offset: int, discarded: int
    ) -> None:
        """Note where the run of a node is that has answered this node's hello."""
        if node_id == self._runs.receiver.node_id:
            if incarnation != self._runs.receiver.incarnation:
                self._own_id.used()
            return
        self._note_up(node_id, incarnation)
        peer = self._runs.receiver.peers.get(node_id)
        if peer is not None and peer.incarnation == incarnation:
            history: PeerHistory = peer.history
            if not history.is_begun and history.tail is None:
                history.tail = Tail(Run(connection, offset, discarded), self._runs.receiver.now)

    def proven(self) -> None:
        """Note that the servers of all peers that were received knew this node's subscriptions."""
        for peer in self._runs.receiver.peers.values():
            history: PeerHistory | None = peer.history
            if history is not None:
                history.is_proven = history.is_begun or history.tail is not None

    def unproven(self) -> None:
        """Report the other peers: this node may have missed events right after it has joined.

        Only the first call has an effect.
        """
        if self._runs.has_returned:
            return
        self._runs.has_returned = True
        for peer in list(self._runs.receiver.peers.values()):
            history: PeerHistory | None = peer.history
            if history is None or not peer.has_header or history.is_proven:
                continue
            if not history.is_begun:
                history.may_have_missed = True
            elif history.began_at and peer.node_id != self._runs.receiver.node_id:
                self._runs.report(peer.node_id, None, "gap")

    def _note_up(self, node_id: int, incarnation: int) -> None:
        """Note a run that may have begun before this node joined or returned."""
        if not self._runs.is_settling:
            # The hello was answered late, so the run may be newer. Its own messages show it.
            return
        if self._runs.peers.is_full and node_id not in self._runs.receiver.peers:
            return
        peer, history = self._runs.peers.get(node_id)
        if not peer.has_header:
            self._runs.begin(peer, history, incarnation)
            peer.last_received_at = self._runs.receiver.now
            self._runs.mark_up(peer, history)
        elif peer.incarnation == incarnation:
            self._runs.no_longer_await(node_id)
