"""Decide which events are delivered, which are dropped, and what is reported as missing.

This module is pure logic: it does no I/O, and the receiver tells it the time. The compiled receiver
handles each batch that continues its sender's run. It passes every other message to this module. A
run is one start of one node: node id and incarnation. Its events are numbered by offset.

| # | message or situation | what is done |
| --- | --- | --- |
| 1 | batch of an older connection than the newest of its run | dropped as late, verified |
| 2 | batch at the expected offset | delivered |
| 3 | batch beyond the expected offset | the difference is reported exactly; then delivered |
| 4 | batch before the expected offset: a resend | the known part is skipped |
|   | the same, but not marked as a resend | dropped as late, verified |
| 5 | empty batch beyond the expected offset (a tail) | the difference is reported exactly, unless
|   |   | the events arrive within half a heartbeat, or if a new run begins |
|   | heartbeat before the expected offset | verified |
| 6 | unknown incarnation of a known id | a new run begins; without a goodbye of the old run,
|   |   | ``Missed(id, None, "gap")`` |
|   | incarnation of a former run | dropped as late, verified |
| 7 | first message of a run, or of another node about it, within two heartbeats of the join or
|   | return of this node | it may begin at any offset; all others begin at 0. After a return, an
|   |   | offset above 0 is also ``Missed(id, None, "gap")`` |
| 8 | three intervals of silence of a run | ``PeerDown``; without a goodbye,
|   |   | ``Missed(id, None, "gap")`` |
| 9 | return of this node after an absence | ``Missed(None, None, "disconnect")`` |
| 10 | own word of a peer | see ``fastcoord.receiving.verification`` |
| 11 | another incarnation of this node's id | verified |
| 12 | batch without a header (Stalwart) | delivered |
| 13 | header that contradicts its payload | dropped; the next batch reveals the difference |

Verified means that the peer is asked for its own word: the incarnation, connection and offset that
it has now. What was reported as missing with a number is never delivered later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.events import Missed, ProtocolMismatch
from fastcoord.receiving.join import Join
from fastcoord.receiving.own_id_use import OwnIdUse
from fastcoord.receiving.peers import Header, PeerHistory, Run, Tail
from fastcoord.receiving.runs import Runs
from fastcoord.receiving.verdict import Verdict
from fastcoord.receiving.verification import Verification
from fastcoord.wire.table import PROTOCOLS

if TYPE_CHECKING:
    from fastcoord.receiving.peer_state import PeerState
    from fastcoord.receiving.receiver import Receiver
    from fastcoord.receiving.runs import Watcher

__all__ = ["Rules"]

HEARTBEATS_UNTIL_TAIL = 0.5


class Rules:
    """Judge the messages of all peers of one node.

    :param heartbeat: the cluster's heartbeat, in seconds.
    :param started_at: when this node was created, on the clock of ``Receiver.now``.
    :param watcher: receives losses and duplicate ids.
    :param reports_losses: whether losses are reported; false for a node whose events come from a
        stream.
    """

    def __init__(
        self,
        *,
        heartbeat: float,
        started_at: float,
        watcher: Watcher,
        reports_losses: bool = True,
    ) -> None:
        self._reports_losses = reports_losses
        self._heartbeat = heartbeat
        self._started_at = started_at
        self._watcher = watcher
        self.is_absent = False
        self._mismatched: set[int] = set()
        """Peers that use another protocol; at most one entry for each node id."""

    def attach(self, receiver: Receiver) -> None:
        """Use this receiver, whose messages are judged."""
        self._receiver = receiver
        self._runs = Runs(
            receiver,
            heartbeat=self._heartbeat,
            started_at=self._started_at,
            watcher=self._watcher,
            reports_losses=self._reports_losses,
        )
        self._verification = Verification(self._runs)
        self.own_id = OwnIdUse(self._runs)
        self.join = Join(self._runs, self.own_id)

    @property
    def awaited(self) -> set[int]:
        """Peers that were up when the connection was lost and have not been received since."""
        return self._runs.awaited

    @property
    def forgotten(self) -> int:
        """How often a peer, or a former run of a peer, was forgotten because there are too many."""
        peers = self._runs.peers
        return peers.forgotten + peers.forgotten_runs

    def settle_from(self, joined_at: float) -> None:
        """Let runs begin at any offset for two heartbeats from the join or return on."""
        self._runs.settle_from(joined_at)

    # ------------------------------------------------------------------- judging messages

    def with_header(
        self,
        node_id: int,
        incarnation: int,
        offset: int,
        count: int,
        discarded: int,
        connection: int,
        silence: int,
        counted: int,
        intact: bool,
        note: str | None,
    ) -> Verdict:
        """Judge a message that carries the sequence header.

        :param counted: how many events could be read.
        :param intact: whether the payload could be read to its end.
        :param note: ``"resend"``, ``"goodbye"``, ``"hello"`` or ``None``.
        """
        if counted > count or (intact and counted != count):
            # The header does not describe this payload, so its offset is unreliable, too.
            return self.with_malformed_header(node_id, counted)
        header = Header(incarnation, offset, count, discarded, connection, silence, note)
        peer, history = self._runs.peers.get(node_id)
        verdict = self._judge(peer, history, header, counted, intact)
        if verdict is None:
            if not self._verification.late(peer, history, header):
                return Verdict(late=counted)
            verdict = self._judge(peer, history, header, counted, intact)
        return Verdict(late=counted) if verdict is None else verdict

    def _judge(
        self, peer: PeerState, history: PeerHistory, header: Header, counted: int, intact: bool
    ) -> Verdict | None:
        """Judge a message; return ``None`` if it is late and must be verified."""
        note = header.note
        if not peer.has_header or header.incarnation != peer.incarnation:
            if header.incarnation in history.former:
                return Verdict() if note == "goodbye" else None
            if note == "goodbye" and history.is_up:
                self._runs.end_unknown(peer, history, header)
                return Verdict()
            self._runs.begin(peer, history, header.incarnation)
            self._end_mismatch(peer.node_id)
        elif header.connection < peer.connection:
            return None if note in (None, "resend") else Verdict()
        if header.events == 0:
            self._runs.received(peer, history, header)
            return self._judge_empty(peer, history, header)
        if not history.is_begun:
            if history.tail is not None and history.tail.run.expected < header.offset:
                self._runs.report_tail(peer, history)
            else:
                self._runs.begin_at(peer, history, header.offset, header.discarded)
        if header.offset < peer.expected and note != "resend":
            return None
        self._runs.received(peer, history, header)
        return self._deliver(peer, history, header, counted, intact)

    def _deliver(
        self, peer: PeerState, history: PeerHistory, header: Header, counted: int, intact: bool
    ) -> Verdict:
        """Deliver the events of a batch from the expected offset on."""
        offset, count = header.offset, header.events
        if offset > peer.expected:
            self._runs.report_missing(
                peer, history, Run(header.connection, offset, header.discarded)
            )
        elif offset == peer.expected:
            # ``discarded`` of a resend may be older than the stored one.
            peer.discarded = header.discarded
        peer.connection = header.connection
        known = min(peer.expected - offset, count)
        if known == count:
            return Verdict(duplicates=counted)
        peer.expected = offset + count
        peer.steady = True
        skip = min(known, counted)
        notice = None
        if not intact:
            readable = max(counted, known)
            history.gap_end = peer.expected
            notice = Missed(peer.node_id, count - readable, "undecodable")
            self._runs.count(notice)
        return Verdict(skip, counted - skip, skip, 0, not intact, notice)

    def _judge_empty(self, peer: PeerState, history: PeerHistory, header: Header) -> Verdict:
        """Judge a heartbeat, a hello or a goodbye."""
        note = header.note
        if not history.is_begun or header.offset > peer.expected:
            tail = history.tail
            if tail is not None and note == "goodbye" and not history.is_begun:
                self._runs.report_tail(peer, history)
            is_passed = history.is_begun and tail is not None and tail.run.expected <= peer.expected
            # An earlier tail is kept, because frequent heartbeats must not delay its report.
            if tail is None or is_passed or note == "goodbye":
                run = Run(header.connection, header.offset, header.discarded)
                history.tail = Tail(run, self._receiver.now)
        elif header.offset == peer.expected:
            peer.steady = history.is_up
            peer.connection = header.connection
            peer.discarded = header.discarded
        elif note is None:
            self._verification.ask(peer, history)
        if note == "goodbye":
            self._runs.mark_down(peer, history, goodbye=True)
        return Verdict()

    def without_header(self, node_id: int, counted: int, intact: bool) -> Verdict:
        """Judge a batch without the sequence header: deliver all of its events."""
        peer, history = self._runs.peers.get(node_id)
        now = self._receiver.now
        self._watcher.stalwart_received(now)
        if not peer.has_header:
            peer.last_received_at = now
        elif not history.is_up:
            history.unnumbered_since = None
        elif history.unnumbered_since is None:
            history.unnumbered_since = now
        elif self._runs.is_lasting(history.unnumbered_since):
            # A node without headers cannot be asked. One stray message is no proof of it.
            self._runs.report_duplicate(peer, history)
        notice = None
        if not intact:
            notice = Missed(node_id, None, "undecodable")
            self._runs.count(notice)
        return Verdict(deliver=counted, is_malformed=not intact, notice=notice)

    def with_malformed_header(self, node_id: int, counted: int) -> Verdict:
        """Judge a batch whose sequence header cannot be used: drop it.

        The next message of a known run reveals the difference. A node without an expected offset
        cannot reveal one, so its loss is reported here.
        """
        _, history = self._runs.peers.get(node_id)
        if not history.is_begun:
            self._runs.report(node_id, counted or None, "undecodable")
        return Verdict(is_malformed=True)

    def with_other_protocol(
        self, node_id: int, place: int, count: int, is_goodbye: bool
    ) -> Verdict:
        """Judge a batch of a node that uses another protocol: drop it, and report it.

        :param place: the index of the other protocol in ``PROTOCOLS``.
        :param count: how many events the message holds, according to its header.
        """
        if is_goodbye:
            self._end_mismatch(node_id)
        elif node_id not in self._mismatched:
            self._mismatched.add(node_id)
            known = place < len(PROTOCOLS)
            protocol = PROTOCOLS[place] if known else f"unknown, letter {chr(ord('a') + place)}"
            self._watcher.protocol_mismatch(node_id, protocol)
            self._receiver.notify(ProtocolMismatch(node_id, protocol))
        if count:
            self._runs.report(node_id, count, "undecodable")
        return Verdict(is_malformed=count > 0)

    def _end_mismatch(self, node_id: int) -> None:
        if node_id in self._mismatched:
            self._mismatched.remove(node_id)
            self._watcher.protocol_mismatch_ended(node_id)

    def without_sender(self) -> Verdict:
        """Judge a message that is too short to name its sender: drop it."""
        self._runs.report(None, None, "undecodable")
        return Verdict(is_malformed=True)

    def received_by(
        self, node_id: int, incarnation: int, up_to: int
    ) -> tuple[int, int, int] | None:
        """Return how far this node has received a run.

        :param up_to: the offset that is asked for.
        :return: the expected offset, the end of the last missing range, and the first offset;
            ``None`` if the run is not the current one of this peer, or has not begun.
        """
        peer = self._receiver.peers.get(node_id)
        if peer is None or not peer.has_header or peer.incarnation != incarnation:
            return None
        history: PeerHistory = peer.history
        if history.is_begun:
            return peer.expected, history.gap_end, history.began_at
        # Where a run begins is known half a heartbeat after its first heartbeat. If nothing was
        # published, nothing can be missing.
        return None if up_to else (0, 0, 0)

    def begin_run(self) -> None:
        """Note that this node continues as a new run with another id."""
        self.own_id.begin_run()

    def own_word(
        self,
        node_id: int,
        incarnation: int,
        connection: int,
        offset: int,
        discarded: int,
        now: float,
    ) -> None:
        """Process the answer of a node to the last question for its own word.

        :param now: when it was received, on the clock of ``Receiver.now``.
        """
        if node_id != self._receiver.node_id:
            run = Run(connection, offset, discarded)
            self._verification.own_word(node_id, incarnation, run, now)
        elif incarnation != self._receiver.incarnation:
            self.own_id.used()

    # --------------------------------------------------------------------------------- time

    def tick(self, now: float) -> None:
        """Report what is due. Call this twice a heartbeat while there is a connection."""
        if self.is_absent:
            return
        for peer in list(self._receiver.peers.values()):
            history: PeerHistory | None = peer.history
            if history is None or not peer.has_header:
                continue
            tail = history.tail
            if tail is not None and now - tail.shown_at >= HEARTBEATS_UNTIL_TAIL * self._heartbeat:
                self._runs.report_tail(peer, history)
            self._verification.tick(peer, history, now)
            self._runs.end_if_silent(peer, history, now)

    # ------------------------------------------------------------- this node's connection

    def disconnected(self) -> None:
        """Note that the connection was lost: from now on any event may be missed."""
        self.is_absent = True
        awaited = self._runs.awaited = set()
        for node_id, peer in self._receiver.peers.items():
            history: PeerHistory | None = peer.history
            # The receiver must pass the next batch to this module, which then updates `awaited`.
            peer.steady = False
            if history is not None:
                self._verification.clear(history)
                if history.is_up:
                    awaited.add(node_id)

    def connected(self, now: float) -> None:
        """Note that the connection is back, and count the silence of each peer from now on."""
        for peer in self._receiver.peers.values():
            peer.last_received_at = now
        if self.is_absent:
            self._runs.has_returned = True
            self.settle_from(now)
            self._runs.report(None, None, "disconnect")
            self.is_absent = False
