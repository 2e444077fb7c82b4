"""The data of the gap detector about each peer, beside the fields of ``PeerState``."""

from __future__ import annotations

__all__ = ["PeerHistory", "Track"]

MAX_GAPS = 32
"""The most reported gaps of an incarnation. If there are more, the two oldest are merged."""


class Track:
    """The data about one incarnation, beside its expected offset.

    :param first_offset: the offset of the first batch that was accepted. The header of that batch
        may be damaged, so the offsets before it are treated as reported missing.
    """

    __slots__ = (
        "batches",
        "gaps",
        "jump_batch",
        "lost_since_jump",
        "resume_offset",
        "skipped_since_jump",
    )

    def __init__(self, first_offset: int) -> None:
        self.gaps: list[tuple[int, int]] = [(0, first_offset)] if first_offset else []
        """Ranges of offsets that were reported missing, first inclusive, last exclusive."""
        self.resume_offset: int | None = None
        """The offset of the next batch if the last jump was a damaged header, not a loss."""
        self.jump_batch: tuple[int, int, int] | None = None
        """The batch that set ``resume_offset``. Its successor proves damage; a copy does not."""
        self.skipped_since_jump = False
        """Whether batches were skipped since the jump. Their events were not reported yet."""
        self.lost_since_jump = 0
        """How many events were skipped or lost since the jump, as far as that is known."""
        self.batches = 0
        """How many batches of the incarnation were received."""

    def settle(self) -> None:
        """Accept the expected offset: it is no longer in doubt."""
        self.resume_offset = None
        self.jump_batch = None
        self.skipped_since_jump = False
        self.lost_since_jump = 0

    def expect(self, resume_offset: int, batch: tuple[int, int, int]) -> None:
        """Store the offset at which the sender continues if the header of this batch is right.

        :param batch: offset, count and fingerprint of the batch.
        """
        self.resume_offset = resume_offset
        # A heartbeat is not stored: a second one at the same offset equals it and is no copy.
        self.jump_batch = batch if batch[1] else None

    def add_gap(self, start: int, end: int) -> None:
        """Store a range of offsets that was reported missing."""
        self.gaps.append((start, end))
        if len(self.gaps) > MAX_GAPS:
            # No gap is dropped, because the true offset of the sender may lie in the oldest one.
            first, second = self.gaps[:2]
            self.gaps[:2] = [(min(first[0], second[0]), max(first[1], second[1]))]

    def has_gap_at(self, offset: int) -> bool:
        """Return whether the batch at this offset was reported missing."""
        return any(start <= offset < end for start, end in self.gaps)

    def rewind(self, offset: int) -> int | None:
        """Rewind the expected offset and drop later gaps.

        :return: how many events were skipped or lost since the jump; ``None`` if that is unknown.
        """
        lost = self.lost_since_jump
        is_known = lost or not self.skipped_since_jump
        self.gaps = [(start, min(end, offset)) for start, end in self.gaps if start < offset]
        self.settle()
        return lost if is_known else None


class PeerHistory:
    """The data about one peer, beside its current incarnation."""

    __slots__ = ("absences", "former", "is_duplicate", "is_up", "said_goodbye", "track")

    def __init__(self) -> None:
        self.track = Track(0)
        self.is_up = False
        self.said_goodbye = False
        self.is_duplicate = False
        """Whether a second running node with this id was reported."""
        self.absences = 0
        """How often this node had lost its connection when it last received from the peer."""
        self.former: dict[int, tuple[int, int, Track]] = {}
        """Replaced incarnations: their expected offset, ``discarded`` and track."""

    def forget_one(self) -> None:
        """Forget the former incarnation with the fewest batches.

        A damaged header is its most likely origin.
        """
        fewest = min(reversed(self.former), key=lambda each: self.former[each][2].batches)
        del self.former[fewest]
