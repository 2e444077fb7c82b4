"""What is missing, from whom, and who is there: pure logic with the clock handed in.

The compiled receiver judges the batch that simply continues its sender's numbering. Everything else
comes here: the first batch of a node, a gap, a resend, a restart, a damaged header. Each method
answers which events of the batch to deliver, and tells what is missing before it returns.

The rules of the numbering, as the wire format defines them: a batch is expected at the last
``offset + count`` of its incarnation. Further on, exactly the difference is missing, and as much of
it as ``discarded`` has grown by is the sender's doing. Further back, it is a resend and skipped as
far as it overlaps. An incarnation first heard within two heartbeats of this node's own start may
begin anywhere; one first heard later is expected from 0.

Beyond them, so that no damaged header can silence a node or hide a loss: a batch that lies where
events were reported missing is not delivered late, but if the next one continues *it* instead of
the expected offset, the jump itself was the damage, and numbering is taken up there. What was not
delivered in between is told then. An incarnation that was taken up anywhere may have been taken up
by a damaged header, so all that lies before counts as reported missing in this respect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastcoord.events import DuplicateNodeId, Missed, Notice, PeerDown, PeerUp

if TYPE_CHECKING:
    from fastcoord.events import Cause
    from fastcoord.receiving.receiver import PeerState, Receiver

__all__ = ["HEARTBEATS_UNTIL_DOWN", "HEARTBEATS_UNTIL_SETTLED", "GapDetector"]

HEARTBEATS_UNTIL_DOWN = 3
HEARTBEATS_UNTIL_SETTLED = 2
REMEMBERED_HOLES = 32
REMEMBERED_INCARNATIONS = 8
U64_MAX = (1 << 64) - 1

Verdict = tuple[int, int, Notice | None]
"""How many events to skip, how many to deliver, and what to say after them."""

NOTHING: Verdict = (0, 0, None)


class Watcher(Protocol):
    """Hears what the gap_detector notices about the cluster, for logs and statistics."""

    def missed(self, missed: Missed) -> None: ...

    def duplicate_node_id(self, node_id: int) -> None: ...

    def greeted(self) -> None:
        """Hear that a peer has just joined and asks who is there."""

    def peers_are_back(self) -> None:
        """Hear that every peer that was up before this node's absence has been heard again."""


class Track:
    """What is remembered of one incarnation beside its expected offset."""

    __slots__ = ("heard_batches", "holes", "skipped", "suspect", "turn", "was_moved")

    def __init__(self, taken_up_at: int) -> None:
        self.holes: list[tuple[int, int]] = [(0, taken_up_at)] if taken_up_at else []
        """Ranges of offsets that were reported missing, or may be."""
        self.turn: int | None = None
        """Where numbering would go on if the last jump was damage and not loss."""
        self.suspect: tuple[int, int, int] | None = None
        """The batch that made ``turn``: its repetition proves nothing, its continuation does."""
        self.was_moved = False
        """Whether batches were skipped since the jump: then more is missing than it told."""
        self.skipped = 0
        """How many events were skipped or lost since the jump, as far as that is known."""
        self.heard_batches = 0

    def settle(self) -> None:
        """Take the numbering for sound, as it stands now."""
        self.turn = None
        self.suspect = None
        self.was_moved = False
        self.skipped = 0

    def expect(self, turn: int, suspect: tuple[int, int, int]) -> None:
        """Remember where numbering goes on if the batch at hand shows its sender's true place."""
        self.turn = turn
        # Heartbeats are alike: the second one at a place is no repetition but says it again.
        self.suspect = suspect if suspect[1] else None

    def add_hole(self, start: int, end: int) -> None:
        self.holes.append((start, end))
        if len(self.holes) > REMEMBERED_HOLES:
            # None is forgotten: the sender's true place may lie in the oldest.
            first, second = self.holes[:2]
            self.holes[:2] = [(min(first[0], second[0]), max(first[1], second[1]))]

    def has_hole_at(self, offset: int) -> bool:
        return any(start <= offset < end for start, end in self.holes)

    def go_back(self, offset: int) -> int | None:
        """Take numbering up at ``offset``; what was missing beyond it never was.

        :return: how many events were skipped or lost since the jump; ``None`` if that is unknown.
        """
        skipped = self.skipped if self.skipped or not self.was_moved else None
        self.holes = [(start, min(end, offset)) for start, end in self.holes if start < offset]
        self.settle()
        return skipped


class History:
    """What is remembered of one peer beside its incarnation's numbering."""

    __slots__ = ("absences", "duplicate", "former", "said_goodbye", "track", "up")

    def __init__(self) -> None:
        self.track = Track(0)
        self.up = False
        self.said_goodbye = False
        self.duplicate = False
        self.absences = 0
        """How often this node had been off the bus when it last heard the peer."""
        self.former: dict[int, tuple[int, int, Track]] = {}
        """Incarnations that another took over from: expected offset, discarded, the rest."""

    def forget_one(self) -> None:
        """Forget the incarnation of which the least was heard: likely a damaged header's."""
        least = min(reversed(self.former), key=lambda each: self.former[each][2].heard_batches)
        del self.former[least]


class GapDetector:
    """Judge the batches of all peers of one node.

    :param heartbeat: the cluster's heartbeat, in seconds.
    :param started_at: when this node joined, on the clock that ``now`` of the receiver follows.
    :param watcher: hears of losses and duplicate ids.
    """

    receiver: Receiver

    def __init__(self, *, heartbeat: float, started_at: float, watcher: Watcher) -> None:
        self.heartbeat = heartbeat
        self.settled_at = started_at + HEARTBEATS_UNTIL_SETTLED * heartbeat
        self.watcher = watcher
        self.absences = 0
        self.absence_untold = False
        self.hears_unnumbered = False
        self.own_id_is_used = False
        self.awaited: set[int] = set()
        """Peers that were up before this node left the bus, and were not heard since it is back."""

    # --------------------------------------------------------------------------- telling

    def tell(self, node_id: int | None, events: int | None, cause: Cause) -> None:
        missed = Missed(node_id, events, cause)
        self.count(missed)
        self.receiver.notify(missed)

    def count(self, missed: Missed) -> None:
        if missed.node_id is not None and missed.events is not None:
            peer = self.receiver.peer(missed.node_id)
            # Damaged headers can claim more than the counter holds.
            peer.missed = min(peer.missed + missed.events, U64_MAX)
        self.watcher.missed(missed)

    # ------------------------------------------------------------------- judging batches

    def numbered(
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
        """Judge a batch that carries the header.

        :param counted: how many events could be read.
        :param intact: whether that was all of the payload.
        :param note: ``"resend"``, ``"goodbye"``, ``"hello"`` or ``None``.
        :param payload: all of it, to tell a repetition from another batch of the same number.
        """
        if counted > count or (intact and counted != count):
            # The header is not about this payload, so its offset proves nothing either.
            return self.misnumbered(node_id, counted)
        peer = self.receiver.peer(node_id)
        history = self.hear(peer)
        if not peer.numbered or peer.incarnation != incarnation:
            self.adopt(peer, history, incarnation, offset)
        history.absences = self.absences
        history.track.heard_batches += 1
        self.rise(peer, history)
        self.no_longer_await(node_id)
        if note == "hello":
            self.watcher.greeted()
        grown = max(0, discarded - peer.discarded)
        if offset >= peer.expected:
            # What looks back says nothing of what is missing from here on.
            peer.discarded = discarded
        batch = (offset, count, hash(payload))
        if not self.place(peer, history.track, batch, grown, note in ("resend", "hello")):
            self.receiver.duplicates += counted
            return NOTHING
        known = min(peer.expected - offset, count)
        skip = min(known, counted)
        self.receiver.duplicates += skip
        peer.expected = offset + count
        peer.steady = history.track.turn is None
        if note == "goodbye":
            self.down(peer, history, goodbye=True)
        afterwards = None
        if not intact:
            readable = max(counted, known)
            history.track.add_hole(offset + readable, offset + count)
            afterwards = Missed(node_id, count - readable, "undecodable")
            self.receiver.malformed += 1
            self.count(afterwards)
        return (skip, counted - skip, afterwards)

    def place(
        self,
        peer: PeerState,
        track: Track,
        batch: tuple[int, int, int],
        grown: int,
        resend: bool,
    ) -> bool:
        """Say whether a batch brings anything new; report what is missing before it.

        :param batch: its offset, its count and a fingerprint of its payload.
        """
        offset, count, _ = batch
        expected = peer.expected
        if offset == expected:
            track.settle()
            return True
        if offset > expected:
            self.jump(peer, track, batch, grown)
            return True
        if resend or batch == track.suspect:
            return offset + count > expected
        if offset == track.turn:
            # The offset that jumped was damaged: its sender never went there.
            skipped = track.go_back(offset)
            if skipped != 0:
                self.tell(peer.node_id, skipped, "gap")
            peer.expected = offset
            return True
        if track.has_hole_at(offset):
            lost = max(0, offset - track.turn) if track.turn is not None else 0
            track.skipped += lost + count
            track.was_moved = True
            track.expect(offset + count, batch)
            peer.steady = False
            return False
        if offset + count > expected:
            # No sender of ours cuts its batches anew: this offset may be the wrong one.
            track.add_hole(offset, offset + count)
            return True
        return False

    def jump(self, peer: PeerState, track: Track, batch: tuple[int, int, int], grown: int) -> None:
        offset, count, _ = batch
        missing = offset - peer.expected
        by_sender = min(missing, grown)
        if by_sender:
            self.tell(peer.node_id, by_sender, "discarded")
        if missing > by_sender:
            self.tell(peer.node_id, missing - by_sender, "gap")
        track.settle()
        track.add_hole(peer.expected, offset)
        track.expect(peer.expected + count, batch)
        peer.expected = offset

    def unnumbered(self, node_id: int, counted: int, intact: bool) -> Verdict:
        """Judge a batch without the header: it is delivered, whatever was before it."""
        peer = self.receiver.peer(node_id)
        history = self.hear(peer)
        self.hears_unnumbered = True
        if self.absence_untold:
            self.absence_untold = False
            self.tell(None, None, "disconnect")
        if peer.numbered:
            self.report_duplicate(peer, history)
        afterwards = None
        if not intact:
            afterwards = Missed(node_id, None, "undecodable")
            self.receiver.malformed += 1
            self.count(afterwards)
        return (0, counted, afterwards)

    def misnumbered(self, node_id: int, counted: int) -> Verdict:
        """Judge a batch whose header is broken: it is dropped, and the gap will tell.

        There is no gap to see when the node was not heard before, so then it is told here.
        """
        self.receiver.malformed += 1
        peer = self.receiver.peer(node_id)
        if not peer.numbered:
            self.tell(node_id, counted or None, "undecodable")
        return NOTHING

    def without_sender(self) -> None:
        """Note a message that does not even say who sent it."""
        self.receiver.malformed += 1
        self.tell(None, None, "undecodable")

    # --------------------------------------------------------------------- who is there

    def hear(self, peer: PeerState) -> History:
        peer.heard_at = self.receiver.now
        history: History | None = peer.history
        if history is None:
            history = peer.history = History()
            history.absences = self.absences
        return history

    def adopt(self, peer: PeerState, history: History, incarnation: int, offset: int) -> None:
        """Take up an incarnation that is not the one heard last."""
        is_restart = peer.numbered
        known = history.former.pop(incarnation, None)
        if is_restart:
            if known is not None and history.track.heard_batches > 1:
                # The old one is back after the new one had settled: two of them are running.
                self.report_duplicate(peer, history)
            history.former[peer.incarnation] = (peer.expected, peer.discarded, history.track)
            if len(history.former) > REMEMBERED_INCARNATIONS:
                history.forget_one()
            if known is None and history.absences != self.absences and not history.said_goodbye:
                # It ended while this node could not hear how far it had come.
                self.tell(peer.node_id, None, "gap")
        history.said_goodbye = False
        peer.incarnation = incarnation
        peer.numbered = True
        if known is not None:
            peer.expected, peer.discarded, history.track = known
        else:
            peer.expected = offset if self.receiver.now <= self.settled_at else 0
            peer.discarded = 0
            history.track = Track(peer.expected)

    def rise(self, peer: PeerState, history: History) -> None:
        if not history.up and peer.node_id != self.receiver.node_id:
            history.up = True
            self.receiver.notify(PeerUp(peer.node_id))

    def down(self, peer: PeerState, history: History, *, goodbye: bool) -> None:
        history.said_goodbye = goodbye
        if history.up:
            history.up = False
            # The next batch must come here, to be told of as the peer's return.
            peer.steady = False
            self.receiver.notify(PeerDown(peer.node_id, goodbye))

    def report_duplicate(self, peer: PeerState, history: History) -> None:
        if not history.duplicate:
            history.duplicate = True
            self.watcher.duplicate_node_id(peer.node_id)
            self.receiver.notify(DuplicateNodeId(peer.node_id))

    def own_id_used(self) -> None:
        """Note that another running node uses this node's id."""
        if not self.own_id_is_used:
            self.own_id_is_used = True
            self.watcher.duplicate_node_id(self.receiver.node_id)
            self.receiver.notify(DuplicateNodeId(self.receiver.node_id))

    def tick(self, now: float) -> None:
        """Look for peers that have fallen silent; call it about once a heartbeat."""
        silent_since = now - HEARTBEATS_UNTIL_DOWN * self.heartbeat
        for peer in self.receiver.peers.values():
            history = peer.history
            if history is not None and history.up and peer.heard_at < silent_since:
                self.down(peer, history, goodbye=False)

    # ------------------------------------------------------------- this node's connection

    def no_longer_await(self, node_id: int) -> None:
        if node_id in self.awaited:
            self.awaited.discard(node_id)
            if not self.awaited:
                self.watcher.peers_are_back()

    def left_the_bus(self) -> None:
        """Note that the connection broke: from now on anything may be missed."""
        self.absences += 1
        self.absence_untold = True
        self.awaited = {
            node_id
            for node_id, peer in self.receiver.peers.items()
            if peer.history is not None and peer.history.up
        }
        for peer in self.receiver.peers.values():
            # Its next batch must come here, to see that it was heard on both sides of the absence.
            peer.steady = False

    def joined_the_bus(self, now: float) -> None:
        """Note that the connection is back: silence up to now says nothing about the peers."""
        for peer in self.receiver.peers.values():
            peer.heard_at = now
        if self.absence_untold and self.hears_unnumbered:
            self.absence_untold = False
            self.tell(None, None, "disconnect")
