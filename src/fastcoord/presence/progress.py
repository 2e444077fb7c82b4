"""Which peers have received all events of this node: the logic of ``flush(peers=True)``."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["JoinOffsets", "Progress"]

MAX_NEWCOMERS = 8192


class JoinOffsets:
    """How many events this node had accepted when a peer joined.

    A peer need not have the events that were published before it joined.
    """

    def __init__(self) -> None:
        self._joined: dict[int, tuple[int, int]] = {}

    def note(self, node_id: int, incarnation: int, accepted: int) -> None:
        """Note the first hello of a run of a peer.

        The peer has subscribed before its hello, so that it receives what is published from now on.
        """
        known = self._joined.pop(node_id, None)
        if known is None or known[0] != incarnation:
            known = (incarnation, accepted)
        self._joined[node_id] = known
        if len(self._joined) > MAX_NEWCOMERS:
            del self._joined[next(iter(self._joined))]

    def of(self, node_id: int, incarnation: int) -> int:
        """Return the number of events; 0 for a peer that was there before this node."""
        known = self._joined.get(node_id)
        return known[1] if known is not None and known[0] == incarnation else 0


class Progress:
    """Which peers have received the events of this node up to an offset.

    :param since: the offset at which the interval of this question begins. A gap in the interval
        is never closed, so that a peer to which one was reported counts as missing.
    :param up_to: the offset at which it ends.
    :param peers: the ids of the peers that are up.
    """

    def __init__(self, since: int, up_to: int, peers: Iterable[int]) -> None:
        self._since = since
        self.up_to = up_to
        self.waiting = set(peers)
        """The peers that have not received everything yet."""
        self.confirmed: set[int] = set()
        self.lost: set[int] = set()
        """The peers that have missed events."""

    @property
    def is_decided(self) -> bool:
        """Whether no further answer can change the result."""
        return not self.waiting

    @property
    def missing(self) -> frozenset[int]:
        """The peers that have not received everything."""
        return frozenset(self.waiting | self.lost)

    def leave(self, node_id: int) -> None:
        """Note that a peer has said goodbye: it is not counted."""
        self.waiting.discard(node_id)
        self.lost.discard(node_id)
        self.confirmed.discard(node_id)

    def answered(
        self, node_id: int, expected: int, gap_end: int, began_at: int, joined_at: int
    ) -> None:
        """Process the answer of one peer.

        :param expected: the offset of the next event that the peer expects.
        :param gap_end: the end of the last gap that was reported there.
        :param began_at: the offset at which the peer began to receive the run.
        :param joined_at: how many events were accepted when the peer joined.
        """
        if node_id not in self.waiting:
            return
        # Until a gap is reported, ``gap_end`` is where the run began.
        if gap_end > max(self._since, began_at) or began_at > max(self._since, joined_at):
            self.waiting.discard(node_id)
            self.lost.add(node_id)
        elif expected >= self.up_to:
            self.waiting.discard(node_id)
            self.confirmed.add(node_id)
