"""Resolve contradictions between the messages of a peer by its own word.

A late batch proves nothing: it may come from a slow route, and then it is rightly dropped. But the
expected offset, the newest connection or the current run may also be wrong, because a message was
forged, and then every true batch would be dropped. So a peer of which a batch is dropped is asked
for its own word. The answer is newer than everything that was received before the question.

| answer | what is done |
| --- | --- |
| current run, not below what was noted at the question | nothing: what was dropped is late |
| current run, connection or offset below it | ``Missed(id, None, "gap")``; the word is taken |
| only another run, for a heartbeat | ``Missed(id, None, "gap")``; that run is the current one |
| two runs, to two questions one after the other | ``DuplicateNodeId``; the current run stays, and
|   | while events of the other one are dropped, ``Missed(id, None, "gap")`` once a heartbeat |
| none, and batches are dropped for more than three heartbeats | ``Missed(id, None, "gap")``; if
|   | nothing else was received of the peer meanwhile, the run that sends becomes current |

The first question alone does not prove two running nodes: a question that a slow route delivers
twice may be answered by a node before its restart and after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.receiving.peers import Header, PeerHistory, Question, Run

if TYPE_CHECKING:
    from fastcoord.receiving.peer_state import PeerState
    from fastcoord.receiving.runs import Runs

__all__ = ["Verification"]

HEARTBEATS_UNTIL_UNANSWERED = 3


class Verification:
    """Ask peers for their own word, and process the answers.

    :param runs: the current runs of the peers.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.taken_up = 0
        """How often a run was taken up although its node had not answered."""

    def ask(self, peer: PeerState, history: PeerHistory) -> None:
        """Ask a peer for its own word, unless an answer of another run is being processed."""
        runs = self._runs
        question = history.question
        now = runs.receiver.now
        if peer.node_id == runs.receiver.node_id:
            return
        if question is not None and question.answers and peer.incarnation not in question.answers:
            return
        run = Run(peer.connection, peer.expected, peer.discarded)
        if runs.watcher.verify(peer.node_id):
            history.question = Question(peer.incarnation, run, now)

    def late(self, peer: PeerState, history: PeerHistory, header: Header) -> bool:
        """Note that a message is dropped as late.

        :return: whether the rules have taken up the run of this message instead, because the peer
            has not answered. The message must be judged again.
        """
        runs = self._runs
        now = runs.receiver.now
        limit = HEARTBEATS_UNTIL_UNANSWERED * runs.heartbeat
        if history.dropped_since is None or now - history.dropped_at > limit:
            history.dropped_since = now
            history.dropped_expected = peer.expected
        history.dropped_at = now
        if header.events:
            history.has_dropped = True
        self.ask(peer, history)
        since = history.dropped_since
        if now - since <= limit:
            return False
        history.dropped_since = None
        if header.incarnation == peer.incarnation:
            goes_on = peer.expected > history.dropped_expected
        else:
            goes_on = peer.last_received_at >= since
        if goes_on:
            runs.report(peer.node_id, None, "gap")
            return False
        self.taken_up += 1
        run = Run(header.connection, header.offset, header.discarded)
        self._take_up(
            peer, history, header.incarnation, history.former.get(header.incarnation, run)
        )
        return True

    def _take_up(self, peer: PeerState, history: PeerHistory, incarnation: int, run: Run) -> None:
        """Report an unknown loss, and continue with this run at this place."""
        self._runs.report(peer.node_id, None, "gap")
        self.clear(history)
        self._runs.replace(peer, history, incarnation, run)

    def own_word(self, node_id: int, incarnation: int, run: Run, now: float) -> None:
        """Process an answer to the last question to a peer."""
        peer = self._runs.receiver.peers.get(node_id)
        history: PeerHistory | None = None if peer is None else peer.history
        if peer is None or history is None or history.question is None:
            return
        question = history.question
        history.dropped_since = None
        question.answers[incarnation] = (run, now)
        if len(question.answers) > 1:
            self._compare_runs(peer, history, question)
        elif incarnation == peer.incarnation == question.incarnation and (
            run.connection < question.run.connection or run.expected < question.run.expected
        ):
            self._take_up(peer, history, incarnation, run)

    def _compare_runs(self, peer: PeerState, history: PeerHistory, question: Question) -> None:
        """Decide whether two runs that have answered the same question run at the same time."""
        pair = frozenset(question.answers)
        if len(pair & history.pair) > 1:
            self._runs.report_duplicate(peer, history)
            history.pair = frozenset()
        else:
            history.pair = pair
            self.ask(peer, history)

    def tick(self, peer: PeerState, history: PeerHistory, now: float) -> None:
        """Switch to the run that has answered, if the current one has not for a heartbeat."""
        runs = self._runs
        question = history.question
        if question is not None and question.answers and peer.incarnation not in question.answers:
            incarnation, (run, answered_at) = next(reversed(question.answers.items()))
            if now - answered_at >= runs.heartbeat:
                self._take_up(peer, history, incarnation, run)
        if history.has_dropped and history.is_duplicate:
            runs.report(peer.node_id, None, "gap")
        history.has_dropped = False

    def clear(self, history: PeerHistory) -> None:
        """Forget the question to a peer, and what was dropped."""
        history.question = None
        history.dropped_since = None
