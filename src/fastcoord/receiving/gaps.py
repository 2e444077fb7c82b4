"""Find out which events of a peer are missing, and which peers are up.

This module is pure logic: it does no I/O, and the receiver tells it the time. The compiled receiver
handles each batch that continues its sender's sequence. It passes every other batch to this module:
the first batch of a node, a gap, a resend, a restart, a damaged header. Each method that judges a
message first reports to every ring what is missing before the message. Then it returns a
``Verdict``.

The wire format defines these rules:

- The expected offset of an incarnation is ``offset + count`` of its last batch.
- If a batch begins beyond the expected offset, exactly the events in between are missing. The
  growth of ``discarded`` is the number of them that the sender discarded.
- If a batch begins before the expected offset, it is a resend. Its events before the expected
  offset are skipped.
- If an incarnation is first received within two heartbeats of this node's start, it may begin at
  any offset. If it is first received later, it is expected to begin at offset 0.

A damaged header must not silence a node and must not hide a loss. So there are two more rules:

- If the offset of a batch was reported missing, the batch is not delivered late. The next batch may
  continue that one instead of the expected offset. In that case the header that jumped was damaged:
  the expected offset is rewound, and the events that were not delivered in between are reported.
- The first offset of an incarnation may be damaged, too. So all offsets before it are treated as
  reported missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from fastcoord.events import (
    DuplicateNodeId,
    Missed,
    Notice,
    PeerDown,
    PeerUp,
    ProtocolMismatch,
)
from fastcoord.receiving.peers import PeerHistory, Track

if TYPE_CHECKING:
    from fastcoord.events import Cause
    from fastcoord.receiving.receiver import PeerState, Receiver

from fastcoord.wire.table import PROTOCOLS

__all__ = ["HEARTBEATS_UNTIL_DOWN", "HEARTBEATS_UNTIL_SETTLED", "GapDetector", "Verdict"]

HEARTBEATS_UNTIL_DOWN = 3
HEARTBEATS_UNTIL_SETTLED = 2
MAX_FORMER_INCARNATIONS = 8
U64_MAX = (1 << 64) - 1


class Verdict(NamedTuple):
    """What the receiver does with a batch, and what it counts.

    :ivar skip: how many events at the start are not delivered.
    :ivar deliver: how many events after them are delivered.
    :ivar duplicates: how many events were delivered before.
    :ivar is_malformed: whether a part of the message cannot be used.
    :ivar notice: the notice that is reported behind the events, or ``None``.
    """

    skip: int = 0
    deliver: int = 0
    duplicates: int = 0
    is_malformed: bool = False
    notice: Notice | None = None


class Watcher(Protocol):
    """Receives what the gap detector finds out, for logs and stats."""

    def missed(self, missed: Missed) -> None:
        """Log a loss that was reported to every subscription."""

    def protocol_mismatch(self, node_id: int, protocol: str) -> None:
        """Log that a peer uses another protocol. This is called once for each peer."""

    def duplicate_node_id(self, node_id: int) -> None:
        """Log that two running nodes use this id."""

    def stalwart_received(self, now: float) -> None:
        """Note that a message without the sequence header was received."""

    def peers_are_back(self) -> None:
        """Release held events: every peer that was up before the outage was received again."""


class GapDetector:
    """Judge the batches of all peers of one node.

    :param heartbeat: the cluster's heartbeat, in seconds.
    :param started_at: when this node was created, on the clock of ``Receiver.now``.
    :param watcher: receives losses and duplicate ids.
    """

    receiver: Receiver

    def __init__(self, *, heartbeat: float, started_at: float, watcher: Watcher) -> None:
        self.heartbeat = heartbeat
        self.settled_at = started_at + HEARTBEATS_UNTIL_SETTLED * heartbeat
        self.watcher = watcher
        self.absences = 0
        self.has_unreported_absence = False
        self.has_peers_without_header = False
        self.is_own_id_used = False
        self.mismatched: set[int] = set()
        """Peers that use another protocol; at most one entry for each node id."""
        self.awaited: set[int] = set()
        """Peers that were up when the connection was lost and have not been received since."""

    def settle_from(self, joined_at: float) -> None:
        """Let incarnations begin at any offset for two heartbeats from the join on."""
        self.settled_at = joined_at + HEARTBEATS_UNTIL_SETTLED * self.heartbeat

    # ------------------------------------------------------------------------- reporting

    def report(self, node_id: int | None, events: int | None, cause: Cause) -> None:
        """Report a loss to every ring, to the log and to the stats of the peer."""
        missed = Missed(node_id, events, cause)
        self.count(missed)
        self.receiver.notify(missed)

    def count(self, missed: Missed) -> None:
        """Report a loss to the log and to the stats of the peer."""
        if missed.node_id is not None and missed.events is not None:
            peer = self.receiver.peer(missed.node_id)
            # A damaged header can claim more than the counter holds.
            peer.missed = min(peer.missed + missed.events, U64_MAX)
        self.watcher.missed(missed)

    # ------------------------------------------------------------------- judging batches

    def with_header(
        self,
        node_id: int,
        incarnation: int,
        offset: int,
        count: int,
        discarded: int,
        counted: int,
        intact: bool,
        note: str | None,
        payload: bytes,
    ) -> Verdict:
        """Judge a batch that carries the sequence header.

        :param counted: how many events could be read.
        :param intact: whether the payload could be read to its end.
        :param note: ``"resend"``, ``"goodbye"``, ``"hello"`` or ``None``.
        :param payload: the whole payload; it tells a copy from another batch at the same offset.
        """
        if counted > count or (intact and counted != count):
            # The header does not describe this payload, so its offset is unreliable, too.
            return self.with_malformed_header(node_id, counted)
        peer = self.receiver.peer(node_id)
        history = self.received(peer)
        if not peer.has_header or peer.incarnation != incarnation:
            self.adopt(peer, history, incarnation, offset)
        history.absences = self.absences
        history.track.batches += 1
        self.mark_up(peer, history)
        self.no_longer_await(node_id)
        grown = max(0, discarded - peer.discarded)
        if offset >= peer.expected:
            # ``discarded`` of a batch before the expected offset may be older than the stored one.
            peer.discarded = discarded
        batch = (offset, count, hash(payload))
        if not self.place(peer, history.track, batch, grown, note in ("resend", "hello")):
            return Verdict(duplicates=counted)
        known = min(peer.expected - offset, count)
        skip = min(known, counted)
        peer.expected = offset + count
        peer.steady = history.track.resume_offset is None
        if note == "goodbye":
            self.mark_down(peer, history, goodbye=True)
        notice = None
        if not intact:
            readable = max(counted, known)
            history.track.add_gap(offset + readable, offset + count)
            notice = Missed(node_id, count - readable, "undecodable")
            self.count(notice)
        return Verdict(skip, counted - skip, skip, not intact, notice)

    def place(
        self,
        peer: PeerState,
        track: Track,
        batch: tuple[int, int, int],
        grown: int,
        resend: bool,
    ) -> bool:
        """Report what is missing before a batch, and return whether the batch holds new events.

        :param batch: its offset, its count and a fingerprint of its payload.
        :param grown: how much ``discarded`` has grown.
        """
        offset, count, _ = batch
        expected = peer.expected
        if offset == expected:
            track.settle()
            return True
        if offset > expected:
            self.jump(peer, track, batch, grown)
            return True
        if resend or batch == track.jump_batch:
            return offset + count > expected
        if offset == track.resume_offset:
            # The offset that jumped was damaged: the sender had not reached it.
            lost = track.rewind(offset)
            if lost != 0:
                self.report(peer.node_id, lost, "gap")
            peer.expected = offset
            return True
        if track.has_gap_at(offset):
            resume_offset = track.resume_offset
            lost = max(0, offset - resume_offset) if resume_offset is not None else 0
            track.lost_since_jump += lost + count
            track.skipped_since_jump = True
            track.expect(offset + count, batch)
            peer.steady = False
            return False
        if offset + count > expected:
            # A resend has the batches of the first sending, so this offset may be damaged.
            track.add_gap(offset, offset + count)
            return True
        return False

    def jump(self, peer: PeerState, track: Track, batch: tuple[int, int, int], grown: int) -> None:
        """Report the events between the expected offset and a batch beyond it."""
        offset, count, _ = batch
        missing = offset - peer.expected
        by_sender = min(missing, grown)
        if by_sender:
            self.report(peer.node_id, by_sender, "discarded")
        if missing > by_sender:
            self.report(peer.node_id, missing - by_sender, "gap")
        track.settle()
        track.add_gap(peer.expected, offset)
        track.expect(peer.expected + count, batch)
        peer.expected = offset

    def without_header(self, node_id: int, counted: int, intact: bool) -> Verdict:
        """Judge a batch without the sequence header: deliver all of its events."""
        peer = self.receiver.peer(node_id)
        history = self.received(peer)
        self.has_peers_without_header = True
        self.watcher.stalwart_received(self.receiver.now)
        if self.has_unreported_absence:
            self.has_unreported_absence = False
            self.report(None, None, "disconnect")
        if peer.has_header:
            self.report_duplicate(peer, history)
        notice = None
        if not intact:
            notice = Missed(node_id, None, "undecodable")
            self.count(notice)
        return Verdict(deliver=counted, is_malformed=not intact, notice=notice)

    def with_malformed_header(self, node_id: int, counted: int) -> Verdict:
        """Judge a batch whose sequence header cannot be used: drop it.

        The next batch of a known incarnation reveals the gap. A node without an expected offset
        cannot reveal one, so its loss is reported here.
        """
        peer = self.receiver.peer(node_id)
        if not peer.has_header:
            self.report(node_id, counted or None, "undecodable")
        return Verdict(is_malformed=True)

    def with_other_protocol(
        self, node_id: int, place: int, count: int, is_goodbye: bool
    ) -> Verdict:
        """Judge a batch of a node that uses another protocol: drop it, and report it.

        :param place: the index of the other protocol in ``PROTOCOLS``.
        :param count: how many events the message holds, according to its header.
        """
        if is_goodbye:
            self.mismatched.discard(node_id)
        elif node_id not in self.mismatched:
            self.mismatched.add(node_id)
            known = place < len(PROTOCOLS)
            protocol = PROTOCOLS[place] if known else f"unknown, letter {chr(ord('a') + place)}"
            self.watcher.protocol_mismatch(node_id, protocol)
            self.receiver.notify(ProtocolMismatch(node_id, protocol))
        if count:
            self.report(node_id, count, "undecodable")
        return Verdict(is_malformed=count > 0)

    def without_sender(self) -> Verdict:
        """Judge a message that is too short to name its sender: drop it."""
        self.report(None, None, "undecodable")
        return Verdict(is_malformed=True)

    # ------------------------------------------------------------------ which peers are up

    def received(self, peer: PeerState) -> PeerHistory:
        """Note that a message of this peer was received, and return the history of the peer."""
        peer.last_received_at = self.receiver.now
        history: PeerHistory | None = peer.history
        if history is None:
            history = peer.history = PeerHistory()
            history.absences = self.absences
        return history

    def adopt(self, peer: PeerState, history: PeerHistory, incarnation: int, offset: int) -> None:
        """Replace the incarnation of this peer by another one."""
        is_restart = peer.has_header
        known = history.former.pop(incarnation, None)
        if is_restart:
            if known is not None and history.track.batches > 1:
                # A former incarnation is received again after a newer one, so both are running.
                self.report_duplicate(peer, history)
            history.former[peer.incarnation] = (peer.expected, peer.discarded, history.track)
            if len(history.former) > MAX_FORMER_INCARNATIONS:
                history.forget_one()
            if known is None and history.absences != self.absences and not history.said_goodbye:
                # The old incarnation ended during an outage, so its last offset is unknown.
                self.report(peer.node_id, None, "gap")
        history.said_goodbye = False
        peer.incarnation = incarnation
        peer.has_header = True
        if known is not None:
            peer.expected, peer.discarded, history.track = known
        else:
            is_settling = self.receiver.now <= self.settled_at
            peer.expected = offset if is_settling else 0
            if is_settling and offset and self.absences and not is_restart:
                # The events before this offset were sent either before this node first connected
                # or while it was disconnected. Only the latter are missed, and nothing tells which.
                self.report(peer.node_id, None, "gap")
            peer.discarded = 0
            history.track = Track(peer.expected)

    def mark_up(self, peer: PeerState, history: PeerHistory) -> None:
        if not history.is_up and peer.node_id != self.receiver.node_id:
            history.is_up = True
            self.receiver.notify(PeerUp(peer.node_id))

    def mark_down(self, peer: PeerState, history: PeerHistory, *, goodbye: bool) -> None:
        history.said_goodbye = goodbye
        if history.is_up:
            history.is_up = False
            # The receiver must pass the next batch to this module, which then reports the return.
            peer.steady = False
            self.receiver.notify(PeerDown(peer.node_id, goodbye))

    def report_duplicate(self, peer: PeerState, history: PeerHistory) -> None:
        if not history.is_duplicate:
            history.is_duplicate = True
            self.watcher.duplicate_node_id(peer.node_id)
            self.receiver.notify(DuplicateNodeId(peer.node_id))

    def own_id_used(self) -> None:
        """Report, once, that another running node uses this node's id."""
        if not self.is_own_id_used:
            self.is_own_id_used = True
            self.watcher.duplicate_node_id(self.receiver.node_id)
            self.receiver.notify(DuplicateNodeId(self.receiver.node_id))

    def tick(self, now: float) -> None:
        """Mark peers as down that were silent for three heartbeats. Call this once a heartbeat."""
        silent_since = now - HEARTBEATS_UNTIL_DOWN * self.heartbeat
        for peer in self.receiver.peers.values():
            history = peer.history
            if history is not None and history.is_up and peer.last_received_at < silent_since:
                self.mark_down(peer, history, goodbye=False)

    # ------------------------------------------------------------- this node's connection

    def no_longer_await(self, node_id: int) -> None:
        if node_id in self.awaited:
            self.awaited.discard(node_id)
            if not self.awaited:
                self.watcher.peers_are_back()

    def disconnected(self) -> None:
        """Note that the connection was lost: from now on any event may be missed."""
        self.absences += 1
        self.has_unreported_absence = True
        self.awaited = {
            node_id
            for node_id, peer in self.receiver.peers.items()
            if peer.history is not None and peer.history.is_up
        }
        for peer in self.receiver.peers.values():
            # The receiver must pass the next batch to this module, which then updates ``absences``.
            peer.steady = False

    def connected(self, now: float) -> None:
        """Note that the connection is back, and count the silence of each peer from now on."""
        for peer in self.receiver.peers.values():
            peer.last_received_at = now
        if self.has_unreported_absence and self.has_peers_without_header:
            self.has_unreported_absence = False
            self.report(None, None, "disconnect")
