"""Where the next consumer of a feed begins in the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcoord.errors import StreamError

if TYPE_CHECKING:
    from fastcoord.nats.stream_info import StreamInfo
    from fastcoord.streaming.feed import Feed

__all__ = ["Place"]

ROLLED_BACK_AFTER = 5
"""After this many answers in a row, a stream that ends before what was received has lost its end. A
new leader may need a moment until it has the whole stream."""


class Place:
    """The place of a feed, compared with what the stream has.

    :param feed: the feed; it has the sequence of the last message that was processed.
    :param start_time: the time of the first message, if its sequence is not known.
    :param at_end: whether the first consumer begins behind the last message of the stream.
    """

    def __init__(self, feed: Feed, *, start_time: str | None = None, at_end: bool = False) -> None:
        self._feed = feed
        self._start_time = start_time
        self._at_end = at_end
        self._is_known = False
        """Whether the feed was compared with a stream before."""
        self.created = ""
        """When the stream was made that the feed has read."""
        self._rolled_back = 0
        self._dropped_up_to = 0
        """The last sequence that the stream has dropped, as far as is known."""
        self._waits_at: int | None = None
        """The sequence of the feed at the last tick, if the stream has dropped what follows it."""

    def observe(self, info: StreamInfo) -> None:
        """Note what another consumer has found out about the stream."""
        if self.created == info.created:
            self._dropped_up_to = max(1, info.state.first_seq) - 1

    def tick(self) -> None:
        """Report messages that the stream has dropped and that have not arrived for one tick.

        A consumer reports a gap only with the next message. Call this periodically, while the
        consumer has requested messages.
        """
        feed, dropped = self._feed, self._dropped_up_to
        if feed.sequence >= dropped:
            self._waits_at = None
        elif self._waits_at != feed.sequence:
            # The messages may have been sent before they were dropped.
            self._waits_at = feed.sequence
        else:
            feed.skip_to(dropped, dropped - feed.sequence)

    def compare(self, info: StreamInfo) -> dict[str, Any]:
        """Report what the stream has dropped behind the place, and return where to begin.

        :param info: the present state of the stream.
        :return: the settings of a consumer.
        :raises StreamError: the stream may have lost messages; the caller asks again later.
        """
        feed = self._feed
        if self._start_time is not None:
            if not self._is_known or feed.is_unplaced:
                self._note(info)
                feed.is_unplaced = True
                return {"deliver_policy": "by_start_time", "opt_start_time": self._start_time}
            # The first message has shown the place.
            self._start_time = None
        first, last = max(1, info.state.first_seq), info.state.last_seq
        if not self._is_known and self._at_end:
            feed.sequence = last
        elif self.created and self.created != info.created:
            feed.skip_to(first - 1, None)
        elif feed.sequence > last:
            self._rolled_back += 1
            if self._is_known and self._rolled_back < ROLLED_BACK_AFTER:
                raise StreamError(
                    f"the stream ends at sequence {last}, and {feed.sequence} was received before:"
                    " it may have lost messages"
                )
            feed.skip_to(last if self._is_known else first - 1, None)
        elif first > feed.sequence + 1:
            feed.skip_to(first - 1, first - 1 - feed.sequence)
        self._note(info)
        # With the last message, the consumer proves that the stream still has what was received.
        start = feed.sequence if feed.sequence >= first else feed.sequence + 1
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": start}

    def reach_end(self, info: StreamInfo) -> None:
        """Continue behind the end of the stream, because it has no message since the start time."""
        if self._start_time is not None:
            self._feed.sequence = info.state.last_seq
            self._feed.is_unplaced = False
            self._start_time = None

    def advance(self, info: StreamInfo) -> None:
        """Continue behind the end of the stream. Call this only if no ring is fed."""
        self._feed.advance(info.state.last_seq)
        self._note(info)

    def _note(self, info: StreamInfo) -> None:
        self._rolled_back = 0
        self.created = info.created
        self._dropped_up_to = 0
        self._is_known = True
