"""The current run of each peer: where it stands, what is missing of it, and whether it is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastcoord.events import DuplicateNodeId, Missed, PeerDown, PeerUp
from fastcoord.receiving.peers import Header, PeerHistory, PeerTable, Run

if TYPE_CHECKING:
    from fastcoord.events import Cause
    from fastcoord.receiving.peer_state import PeerState
    from fastcoord.receiving.receiver import Receiver

__all__ = ["HEARTBEATS_UNTIL_DOWN", "U64_MAX", "Runs", "Watcher"]

HEARTBEATS_UNTIL_DOWN = 3
HEARTBEATS_UNTIL_SETTLED = 2
MAX_INTERVAL = 600.0
"""The longest interval between two messages that a peer may declare, in seconds."""

U64_MAX = (1 << 64) - 1


class Watcher(Protocol):
    """Receives what the rules find out, and asks other nodes."""

    def missed(self, missed: Missed) -> None:
        """Log a loss that was reported to every subscription."""

    def protocol_mismatch(self, node_id: int, protocol: str) -> None:
        """Log that a peer uses another protocol. This is called once for each peer."""

    def protocol_mismatch_ended(self, node_id: int) -> None:
        """Note that this peer has left, or has begun a run with the protocol of this node."""

    def duplicate_node_id(self, node_id: int) -> None:
        """Log that two running nodes use this id."""

    def stalwart_received(self, now: float) -> None:
        """Note that a message without the sequence header was received."""

    def peers_are_back(self) -> None:
        """Release held events: every peer that was up before the outage was received again."""

    def verify(self, node_id: int) -> bool:
        """Ask the nodes with this id for their own word.

        :return: whether a question was sent. Answers to earlier questions to this id are ignored
            from then on.
        """


class Runs:
    """Change the current run of peers, and report what is missing of it.

    :param receiver: holds the states of the peers.
    :param heartbeat: the cluster's heartbeat, in seconds.
    :param started_at: when this node was created, on the clock of ``Receiver.now``.
    :param watcher: receives losses and duplicate ids.
    :param reports_losses: whether losses are reported.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        heartbeat: float,
        started_at: float,
        watcher: Watcher,
        reports_losses: bool = True,
    ) -> None:
        self._reports_losses = reports_losses
        self.receiver = receiver
        self.heartbeat = heartbeat
        self.watcher = watcher
        self.peers = PeerTable(receiver, heartbeat)
        self.has_returned = False
        """Whether this node was absent since its join, or has joined without proof."""
        self.awaited: set[int] = set()
        """Peers that were up when the connection was lost and have not been received since."""
        self.settle_from(started_at)

    def settle_from(self, joined_at: float) -> None:
        """Let runs begin at any offset for two heartbeats from the join or return on."""
        self._settled_at = joined_at + HEARTBEATS_UNTIL_SETTLED * self.heartbeat

    # ------------------------------------------------------------------------- reporting

    def report(self, node_id: int | None, events: int | None, cause: Cause) -> None:
        """Report a loss to every ring, to the log and to the stats of the peer."""
        if not self._reports_losses:
            return
        missed = Missed(node_id, events, cause)
        self.count(missed)
        self.receiver.notify(missed)

    def count(self, missed: Missed) -> None:
        """Report a loss to the log and to the stats of the peer."""
        if not self._reports_losses:
            return
        if missed.node_id is not None and missed.events is not None:
            peer = self.receiver.peers.get(missed.node_id)
            if peer is not None:
                # A forged header can claim more than the counter holds.
                peer.missed = min(peer.missed + missed.events, U64_MAX)
        self.watcher.missed(missed)

    def report_missing(self, peer: PeerState, history: PeerHistory, run: Run) -> None:
        """Report the events between the expected offset and a later one, and expect that one."""
        missing = run.expected - peer.expected
        by_sender = min(missing, max(0, run.discarded - peer.discarded))
        if by_sender:
            self.report(peer.node_id, by_sender, "discarded")
        if missing > by_sender:
            self.report(peer.node_id, missing - by_sender, "gap")
        peer.expected = history.gap_end = run.expected
        peer.discarded = run.discarded

    # --------------------------------------------------------------------------------- runs

    @property
    def is_settling(self) -> bool:
        """Whether this node has joined or returned less than two heartbeats ago."""
        return self.receiver.now <= self._settled_at

    def is_lasting(self, since: float) -> bool:
        """Return whether something that began then has lasted as long as a peer may be silent."""
        return self.receiver.now - since > HEARTBEATS_UNTIL_DOWN * self.heartbeat

    def begin(self, peer: PeerState, history: PeerHistory, incarnation: int) -> None:
        """Expect a new run of a peer, and end the current one."""
        is_reported = was_forgotten = self.peers.was_forgotten(peer.node_id)
        if peer.has_header:
            self.report_tail(peer, history)
            if not history.said_goodbye and not history.is_end_reported:
                # The old run may have sent more before it ended.
                self.report(peer.node_id, None, "gap")
                is_reported = True
        if was_forgotten:
            self.report(peer.node_id, None, "gap")
        # An answer to an earlier question does not know the new run.
        history.question = None
        self.replace(peer, history, incarnation, Run(0, 0, 0))
        history.is_begun = not (was_forgotten or self.is_settling)
        history.may_have_missed = self.has_returned and not is_reported

    def replace(self, peer: PeerState, history: PeerHistory, incarnation: int, run: Run) -> None:
        """Replace the current run, and note where the new one stands."""
        if peer.has_header and peer.incarnation != incarnation:
            history.former.pop(incarnation, None)
            old = Run(peer.connection, peer.expected, peer.discarded)
            if history.remember(peer.incarnation, old):
                self.peers.forgotten_runs += 1
        peer.incarnation = incarnation
        peer.has_header = True
        peer.steady = False
        peer.connection, peer.expected, peer.discarded = run
        history.began_at = history.gap_end = run.expected
        history.is_begun = True
        history.tail = None
        history.said_goodbye = history.is_end_reported = False

    def begin_at(self, peer: PeerState, history: PeerHistory, offset: int, discarded: int) -> None:
        """Begin a run at the place where it was first received."""
        if offset and history.may_have_missed:
            # This run may have sent events after the absence was reported, through a server that
            # did not know this node's subscriptions yet.
            self.report(peer.node_id, None, "gap")
        history.is_begun = True
        history.began_at = history.gap_end = peer.expected = offset
        peer.discarded = discarded

    def end_unknown(self, peer: PeerState, history: PeerHistory, header: Header) -> None:
        """Note a run of which only the goodbye was received, while another run is up."""
        run = Run(header.connection, header.offset, header.discarded)
        if history.remember(header.incarnation, run):
            self.peers.forgotten_runs += 1
        if header.offset:
            self.report(peer.node_id, None, "gap")

    def report_tail(self, peer: PeerState, history: PeerHistory) -> None:
        """Report the events before the tail of a run that have not arrived."""
        if history.tail is None:
            return
        run, _ = history.tail
        history.tail = None
        if not history.is_begun:
            self.begin_at(peer, history, run.expected, run.discarded)
        elif run.expected > peer.expected:
            self.report_missing(peer, history, run)
        else:
            return
        peer.connection = max(peer.connection, run.connection)

    # ------------------------------------------------------------------ which peers are up

    def received(self, peer: PeerState, history: PeerHistory, header: Header) -> None:
        """Note a message of the current run."""
        peer.last_received_at = self.receiver.now
        if header.silence:
            peer.silence = header.silence
        history.said_goodbye = history.is_end_reported = False
        self.mark_up(peer, history)
        self.no_longer_await(peer.node_id)

    def no_longer_await(self, node_id: int) -> None:
        """Note that a peer that was up before an absence of this node is back."""
        if node_id in self.awaited:
            self.awaited.discard(node_id)
            if not self.awaited:
                self.watcher.peers_are_back()

    def mark_up(self, peer: PeerState, history: PeerHistory) -> None:
        if not history.is_up and peer.node_id != self.receiver.node_id:
            history.is_up = True
            self.receiver.notify(PeerUp(peer.node_id))

    def mark_down(self, peer: PeerState, history: PeerHistory, *, goodbye: bool) -> None:
        history.said_goodbye = goodbye
        # The receiver must pass the next batch to this module, which then reports the return.
        peer.steady = False
        if history.is_up:
            history.is_up = False
            self.receiver.notify(PeerDown(peer.node_id, goodbye))

    def report_duplicate(self, peer: PeerState, history: PeerHistory) -> None:
        """Report, once, that two running nodes use the id of a peer."""
        if not history.is_duplicate:
            history.is_duplicate = True
            self.watcher.duplicate_node_id(peer.node_id)
            self.receiver.notify(DuplicateNodeId(peer.node_id))

    def end_if_silent(self, peer: PeerState, history: PeerHistory, now: float) -> None:
        """Mark a peer as down, and report its end, if it is silent for three intervals."""
        interval = min(max(self.heartbeat, peer.silence / 1000), MAX_INTERVAL)
        if not history.is_up or now - peer.last_received_at <= HEARTBEATS_UNTIL_DOWN * interval:
            return
        self.report_tail(peer, history)
        if not history.is_end_reported:
            history.is_end_reported = True
            self.report(peer.node_id, None, "gap")
        self.mark_down(peer, history, goodbye=False)
