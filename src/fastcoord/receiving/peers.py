"""What the delivery rules remember about each peer, beside the fields of ``PeerState``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastcoord.events import PeerDown

if TYPE_CHECKING:
    from fastcoord.receiving.peer_state import PeerState
    from fastcoord.receiving.receiver import Receiver

__all__ = ["MAX_FORMER_RUNS", "MAX_PEERS", "Header", "PeerHistory", "PeerTable", "Question", "Run"]

MAX_PEERS = 8192
"""How many peers are remembered."""

MAX_FORMER_RUNS = 8
"""How many former runs of a peer are remembered."""

FORGOTTEN_AT_ONCE = MAX_PEERS // 8


class Header(NamedTuple):
    """The sequence header of a message.

    :ivar events: ``count`` of the header.
    """

    incarnation: int
    offset: int
    events: int
    discarded: int
    connection: int
    silence: int
    note: str | None


class Run(NamedTuple):
    """Where a run stands: the expected offset, and the newest connection of its sender."""

    connection: int
    expected: int
    discarded: int


class Tail(NamedTuple):
    """The offset that an empty batch has shown, and that the events have not reached."""

    run: Run
    shown_at: float


class Question:
    """A question to a peer for its own word, and the answers.

    :param incarnation: the run that was current when the question was sent.
    :param run: where this run stood at that time.
    :param asked_at: when the question was sent.
    """

    __slots__ = ("answers", "asked_at", "incarnation", "run")

    def __init__(self, incarnation: int, run: Run, asked_at: float) -> None:
        self.incarnation = incarnation
        self.run = run
        self.asked_at = asked_at
        self.answers: dict[int, tuple[Run, float]] = {}
        """For each run that has answered: where it stands, and when it answered."""


class PeerHistory:
    """The data about one peer.

    :param now: when it was first received.
    """

    __slots__ = (
        "began_at",
        "dropped_at",
        "dropped_expected",
        "dropped_since",
        "first_received_at",
        "former",
        "gap_end",
        "has_dropped",
        "is_begun",
        "is_duplicate",
        "is_end_reported",
        "is_proven",
        "is_up",
        "may_have_missed",
        "pair",
        "question",
        "said_goodbye",
        "tail",
        "unnumbered_since",
    )

    def __init__(self, now: float) -> None:
        self.first_received_at = now
        self.is_up = False
        self.said_goodbye = False
        self.is_end_reported = False
        """Whether the silence of the current run was reported."""
        self.is_begun = False
        """Whether the first offset of the current run is known."""
        self.is_proven = False
        """Whether the peer's server knew this node's subscriptions when this node had joined."""
        self.may_have_missed = False
        """Whether a first offset above 0 means that events may be missing."""
        self.began_at = 0
        """The offset at which this node began to receive the current run."""
        self.gap_end = 0
        """The end of the last range of offsets of the current run that is missing."""
        self.tail: Tail | None = None
        self.former: dict[int, Run] = {}
        """Former runs by incarnation, and where each of them stood."""
        self.question: Question | None = None
        self.pair: frozenset[int] = frozenset()
        """The runs that have answered the same question."""
        self.is_duplicate = False
        """Whether two running nodes with this id were reported."""
        self.dropped_since: float | None = None
        """When the first batch was dropped that no answer has explained yet."""
        self.dropped_at = 0.0
        self.dropped_expected = 0
        """The expected offset at ``dropped_since``."""
        self.has_dropped = False
        """Whether a batch was dropped since the last tick."""
        self.unnumbered_since: float | None = None
        """When a message without a header first came from an id that sends headers."""

    def remember(self, incarnation: int, run: Run) -> bool:
        """Store a former run; return whether another one was forgotten for it."""
        self.former[incarnation] = run
        if len(self.former) <= MAX_FORMER_RUNS:
            return False
        del self.former[next(iter(self.former))]
        return True


class PeerTable:
    """The peers of a receiver, of which a bounded number is remembered.

    :param receiver: holds the states of the peers.
    :param heartbeat: the cluster's heartbeat, in seconds.
    """

    def __init__(self, receiver: Receiver, heartbeat: float) -> None:
        self._receiver = receiver
        self._heartbeat = heartbeat
        self._forgotten: set[int] = set()
        self.forgotten = 0
        """How often a peer was forgotten."""
        self.forgotten_runs = 0
        """How often a former run of a peer was forgotten."""

    @property
    def is_full(self) -> bool:
        """Whether a peer must be forgotten before another one is added."""
        return len(self._receiver.peers) >= MAX_PEERS

    def get(self, node_id: int) -> tuple[PeerState, PeerHistory]:
        """Return the state of a peer; create it if nothing was received from it before."""
        peer = self._receiver.peers.get(node_id)
        if peer is None:
            if self.is_full:
                self._forget_some()
            peer = self._receiver.peer(node_id)
        history: PeerHistory | None = peer.history
        if history is None:
            history = peer.history = PeerHistory(self._receiver.now)
            # Only the node's own run begins before its first message.
            history.is_begun = peer.has_header
        return peer, history

    def was_forgotten(self, node_id: int) -> bool:
        """Return whether a peer was forgotten, once after it was."""
        if node_id not in self._forgotten:
            return False
        self._forgotten.discard(node_id)
        return True

    def _forget_some(self) -> None:
        """Forget the peers that are silent for the longest time.

        Those that were received for less than a heartbeat are forgotten first, because invented
        ids are among them. Several are forgotten at once, so that each costs little time.
        """

        def keep_longest(peer: PeerState) -> tuple[bool, float]:
            history: PeerHistory | None = peer.history
            first = peer.last_received_at if history is None else history.first_received_at
            return peer.last_received_at - first >= self._heartbeat, peer.last_received_at

        peers = [
            peer for peer in self._receiver.peers.values() if peer.node_id != self._receiver.node_id
        ]
        for peer in sorted(peers, key=keep_longest)[:FORGOTTEN_AT_ONCE]:
            self._receiver.forget(peer.node_id)
            if peer.history is not None and peer.history.is_up:
                self._receiver.notify(PeerDown(peer.node_id, False))
            if peer.has_header:
                self._forgotten.add(peer.node_id)
            self.forgotten += 1
