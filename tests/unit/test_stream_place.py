"""Where a consumer begins, given what the stream has."""

from __future__ import annotations

from typing import Any

import pytest

from fastcoord import Missed, StreamError
from fastcoord.nats.stream_info import StreamInfo, StreamSettings, StreamState
from fastcoord.streaming.feed import Feed
from fastcoord.streaming.place import ROLLED_BACK_AFTER, Place
from fastcoord.streaming.stream_receiver import StreamReceiver

TIME = {"deliver_policy": "by_start_time", "opt_start_time": "T"}


class Owner:
    """Record what is missing."""

    def __init__(self) -> None:
        self.missing: list[int | None] = []

    def missed(self, feed: Feed, missed: Missed) -> None:
        self.missing.append(missed.messages)


def make_feed(sequence: int = 0) -> tuple[Feed, Owner]:
    owner = Owner()
    receiver = StreamReceiver(
        node_id=1,
        incarnation=5,
        protocol="stalwart-0.16",
        deliver_own=False,
        rules=None,
        on_request=print,
    )
    feed = Feed(receiver, owner, b"stwt.agora")
    feed.sequence = sequence
    return feed, owner


def info(first: int, last: int, created: str = "A") -> StreamInfo:
    state = StreamState(messages=last - first + 1, bytes=0, first_seq=first, last_seq=last)
    return StreamInfo(config=StreamSettings(name="S"), state=state, created=created)


def behind(sequence: int) -> dict[str, Any]:
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence}


@pytest.mark.parametrize(
    ("sequence", "first", "last", "start", "missing"),
    [
        (0, 0, 0, 1, []),
        (0, 1, 5, 1, []),
        (3, 1, 5, 3, []),
        (5, 1, 5, 5, []),
        (3, 4, 5, 4, []),
        (3, 5, 5, 5, [1]),
        (3, 9, 8, 9, [5]),
        # The sequence belongs to another stream.
        (9, 1, 5, 1, [None]),
        (9, 3, 5, 3, [None]),
    ],
)
def test_first_consumer_begins_at_place(
    sequence: int, first: int, last: int, start: int, missing: list[int | None]
) -> None:
    feed, owner = make_feed(sequence)
    assert Place(feed).compare(info(first, last)) == behind(start)
    assert owner.missing == missing


def test_live_feed_begins_at_end() -> None:
    feed, owner = make_feed()
    place = Place(feed, at_end=True)
    assert place.compare(info(1, 5)) == behind(5)
    assert place.compare(info(1, 9)) == behind(5)
    assert owner.missing == []


def test_stream_made_anew_is_read_from_its_start() -> None:
    feed, owner = make_feed(3)
    place = Place(feed)
    place.compare(info(1, 5))
    assert place.compare(info(1, 9, "B")) == behind(1)
    assert (owner.missing, place.created) == ([None], "B")


def test_lost_end_is_believed_after_some_answers() -> None:
    feed, owner = make_feed(5)
    place = Place(feed)
    place.compare(info(1, 5))
    for _ in range(ROLLED_BACK_AFTER - 1):
        with pytest.raises(StreamError, match="ends at sequence 4, and 5 was received"):
            place.compare(info(1, 4))
    assert place.compare(info(1, 4)) == behind(4)
    assert owner.missing == [None]


def test_start_time_is_used_until_first_message() -> None:
    feed, owner = make_feed()
    place = Place(feed, start_time="T")
    for _ in range(2):
        assert place.compare(info(1, 9)) == TIME
        assert feed.is_unplaced
    feed.is_unplaced, feed.sequence = False, 4
    assert place.compare(info(1, 9)) == behind(4)
    assert place.compare(info(6, 9)) == behind(6)
    assert owner.missing == [1]


def test_start_time_behind_end_is_the_end() -> None:
    feed, _ = make_feed()
    place = Place(feed, start_time="T")
    place.compare(info(1, 9))
    place.reach_end(info(1, 9))
    assert (feed.sequence, feed.is_unplaced) == (9, False)
    assert place.compare(info(1, 10)) == behind(9)


def test_dropped_messages_are_reported_without_another() -> None:
    feed, owner = make_feed(3)
    place = Place(feed)
    place.compare(info(1, 5))
    place.observe(info(9, 8))
    place.tick()
    assert (feed.sequence, owner.missing) == (3, [])
    feed.sequence = 4  # a message that was sent before the purge
    for _ in range(4):
        place.tick()
    assert (feed.sequence, owner.missing) == (8, [4])


def test_end_of_another_stream_drops_nothing() -> None:
    feed, owner = make_feed(3)
    place = Place(feed)
    place.compare(info(1, 5))
    place.observe(info(9, 8, "B"))
    for _ in range(3):
        place.tick()
    assert (feed.sequence, owner.missing) == (3, [])
