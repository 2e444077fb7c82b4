"""The rules by which a node selects the batches of a stream, each as a test."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from fastcoord import Missed, StateChange, encode_batch
from fastcoord.streaming.feed import Feed
from support.receiving.stream_reading import OWN, PEER, PLACE, PROTOCOL, RUN, SUBJECT, Reading


def test_batches_in_order_are_delivered() -> None:
    reading = Reading()
    reading.store(0, 3)
    reading.store(3, 2)
    assert reading.taken() == [0, 1, 2, 3, 4]
    assert reading.feed.sequence == 2


def test_batch_stored_twice_is_delivered_once() -> None:
    reading = Reading()
    for offset, count in ((0, 3), (3, 2), (0, 3), (3, 2), (5, 1)):
        reading.store(offset, count)
    assert reading.taken() == [0, 1, 2, 3, 4, 5]
    assert reading.feed.duplicates == 5


def test_batch_ahead_is_delivered_in_its_place() -> None:
    reading = Reading()
    for offset in (0, 2, 1, 2, 3):
        reading.store(offset)
    assert reading.taken() == [0, 1, 2, 3]
    assert reading.feed.runs.ahead == 1


def test_discarded_events_are_reported() -> None:
    reading = Reading()
    reading.store(0)
    reading.store(5, discarded=4)
    reading.store(6, discarded=4)
    assert reading.taken() == [0, Missed(PEER, 4, "discarded"), 5, 6]


def test_discarded_events_do_not_hide_missing_batch() -> None:
    reading = Reading()
    reading.store(0)
    reading.store(5, discarded=3)
    assert reading.taken() == [0]
    reading.store(1)
    reading.store(5, discarded=3)
    assert reading.taken() == [1, Missed(PEER, 3, "discarded"), 5]


def test_gap_of_stream_is_reported() -> None:
    reading = Reading()
    reading.store(0)
    reading.sequence += 4
    reading.store(9)
    assert reading.taken() == [0, Missed(None, None, "retention", 4), 9]
    assert reading.feed.missed_messages == 4


def test_next_consumer_proves_last_message() -> None:
    reading = Reading()
    for reading.stored_at in (100, 200):
        reading.store(reading.sequence)
    reading.sequence = 1
    reading.begin()
    reading.store(1)
    reading.store(2)
    assert reading.taken() == [0, 1, 2]
    assert reading.feed.received == 3


def test_other_message_under_last_sequence_is_reported() -> None:
    reading = Reading()
    for reading.stored_at in (100, 200):
        reading.store(reading.sequence)
    # The stream has lost its end and stored other messages since.
    reading.sequence = 1
    reading.stored_at = 300
    reading.begin()
    reading.store(7)
    reading.store(8)
    assert reading.taken() == [0, 1, Missed(None, None, "retention", None), 7, 8]


def test_interrupted_report_of_gap_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading()
    reading.store(0)
    reading.sequence += 4

    def interrupt(*values: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reading.owner, "missed", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        reading.store(9)
    assert reading.feed.sequence == 1
    monkeypatch.undo()
    reading.sequence -= 1
    reading.begin()
    reading.store(9)
    assert reading.taken() == [0, Missed(None, None, "retention", 4), 9]


def live_at(sequence: int) -> Feed:
    live = Reading().feed
    live.sequence = sequence
    return live


def test_replay_reports_gap_up_to_live_feed() -> None:
    reading = Reading(live=live_at(6))
    reading.store(0)
    # The stream drops messages 2 to 6, and the replay receives the next one before the live feed.
    reading.sequence = 6
    reading.store(6)
    assert reading.taken() == [0, Missed(None, None, "retention", 5)]
    assert reading.owner.calls == [("caught_up",)]


def test_replay_ahead_of_live_feed_goes_on() -> None:
    live = live_at(3)
    reading = Reading(live=live)
    for offset in range(2):
        reading.store(offset)
    # The stream was made anew, and the live feed begins at its first message again.
    live.sequence = 0
    reading.store(2)
    assert reading.owner.calls == []
    live.sequence = 3
    reading.store(3)
    assert reading.taken() == [0, 1, 2]
    assert reading.owner.calls == [("caught_up",)]


def test_new_run_reports_batches_ahead_of_old_one() -> None:
    reading = Reading()
    reading.store(0)
    reading.store(3, 2)
    reading.store(0, run=RUN + 1)
    assert reading.taken() == [0, Missed(PEER, 4, "gap"), 0]


def test_old_run_goes_on_beside_new_one() -> None:
    reading = Reading()
    reading.store(0)
    reading.store(0, run=RUN + 1)
    reading.store(1)
    reading.store(1, run=RUN + 1)
    assert reading.taken() == [0, 0, 1, 1]


def test_batch_behind_first_one_is_reported() -> None:
    reading = Reading()
    reading.store(5)
    reading.store(4)
    reading.store(5)
    reading.store(6)
    assert reading.taken() == [5, Missed(PEER, 1, "gap"), 6]


def test_forged_offset_silences_no_node() -> None:
    reading = Reading()
    reading.store(0)
    reading.store(1_000_000, discarded=999_999)
    for offset in range(1, 4200):
        reading.store(offset)
    taken = reading.taken()
    assert taken[:3] == [0, Missed(PEER, 999_999, "discarded"), 1_000_000]
    assert taken[3] == Missed(PEER, None, "gap")
    assert taken[4:] == list(range(4097, 4200))


def test_forged_runs_are_bounded() -> None:
    reading = Reading()
    for run in range(9000):
        reading.store(0, run=run, node_id=run % 60_000 + 2)
    assert len(reading.feed.runs) == 8192
    assert reading.feed.runs.forgotten == 9000 - 8192


def test_lost_delivery_breaks_feed() -> None:
    reading = Reading()
    reading.store(0)
    reading.sequence += 1
    reading.number += 1
    reading.store(2)
    assert [call[0] for call in reading.owner.calls] == ["broken"]
    assert reading.feed.sequence == 1
    reading.sequence = 1
    reading.begin()
    for offset in (1, 2):
        reading.store(offset)
    assert reading.taken() == [0, 1, 2]


@pytest.mark.parametrize("deliver_own", [False, True])
def test_own_events_follow_echo_setting(deliver_own: bool) -> None:
    reading = Reading(deliver_own=deliver_own)
    reading.store(0, node_id=OWN)
    reading.store(1, node_id=OWN)
    assert reading.taken() == ([0, 1] if deliver_own else [])
    assert reading.feed.sequence == 2


def test_own_events_of_former_id_are_skipped() -> None:
    reading = Reading()
    reading.store(0, node_id=OWN, run=reading.receiver.incarnation)
    reading.receiver.rename(OWN + 100, 6)
    reading.store(1, node_id=OWN, run=5)
    # Another node has taken the id.
    reading.store(2, node_id=OWN, run=7)
    assert reading.taken() == [2]


def test_messages_of_other_subjects_are_skipped() -> None:
    reading = Reading()
    reading.store(0)
    reading.message(b"3", b"abc\r\n", verb=b"MSG", subject=b"other")
    reading.store(1)
    assert reading.taken() == [0, 1]


def test_message_without_header_is_delivered() -> None:
    reading = Reading()
    payload = encode_batch([StateChange(9, 4, types=1)], node_id=9, protocol=PROTOCOL)
    reading.message(b"%d" % len(payload), payload + b"\r\n", verb=b"MSG")
    assert reading.taken() == [4]
    assert reading.owner.calls == [("without_header", 9, 1, True)]


def test_undecodable_messages_are_reported() -> None:
    reading = Reading()
    payload = encode_batch([StateChange(9, 4, types=1)], node_id=9, protocol=PROTOCOL) + b"\xff"
    reading.message(b"%d" % len(payload), payload + b"\r\n", verb=b"MSG")
    reading.message(b"0", b"\r\n", verb=b"MSG")
    assert reading.taken() == [
        4,
        Missed(9, None, "undecodable"),
        Missed(None, None, "undecodable"),
    ]
    assert reading.feed.malformed == 2


def test_other_protocol_is_not_decoded() -> None:
    reading = Reading()
    reading.store(0, protocol=PLACE + 1)
    assert reading.taken() == []
    assert reading.owner.calls == [("other_protocol", PEER, PLACE + 1, 1)]


def test_low_demand_is_reported() -> None:
    reading = Reading()
    reading.feed.demanded(4, 1 << 20)
    reading.feed.low_demand = 2
    reading.store(0)
    assert reading.owner.calls == []
    reading.store(1)
    assert reading.owner.calls == [("low",)]
    assert reading.feed.demand == 2


def test_late_report_ends_no_later_request() -> None:
    reading = Reading()
    reading.feed.demanded(1, 1000)
    reading.store(0)
    reading.feed.demanded(9, 1000)
    reading.store(1)
    used = 1000 - reading.feed.demand_bytes
    # The server reports what the first request has left.
    reading.feed.demanded(0, used - 1000)
    assert (reading.feed.demand, reading.feed.demand_bytes) == (8, 1000 - used)


def test_report_of_unused_bytes_ends_requests() -> None:
    reading = Reading()
    reading.feed.demanded(2, 1000)
    reading.store(0)
    reading.feed.demanded(0, -reading.feed.demand_bytes)
    assert reading.feed.demand == 0


def test_used_bytes_end_requests() -> None:
    """The server counts the subject, the reply subject, the header and the payload."""
    reading = Reading()
    reading.feed.demanded(9, 1 << 20)
    reading.store(0)
    size = (1 << 20) - reading.feed.demand_bytes
    payload = encode_batch([StateChange(PEER, 0, types=1)], node_id=PEER, protocol=PROTOCOL)
    assert size > len(SUBJECT) + len(b"$JS.ACK.AGORA.c.1.1.1.0.0") + len(payload)
    reading.feed.demanded(-8, size - (1 << 20))
    reading.feed.demanded(9, 2 * size)
    reading.feed.low_demand = 2
    reading.store(1)
    assert (reading.feed.demand, reading.owner.calls) == (8, [])
    reading.store(2)
    assert (reading.feed.demand, reading.owner.calls) == (0, [("low",)])


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.hub.acc.AGORA.c.1.1.1.0.7.token",
        b"$JS.ACK.hub.acc.AGORA.c.1.1.1.0.7",
        b"$JS.ACK.AGORA.c.1.1.1.0.7",
    ],
)
def test_forms_of_reply_are_read(reply: bytes) -> None:
    reading = Reading()
    payload = encode_batch([StateChange(9, 4, types=1)], node_id=9, protocol=PROTOCOL)
    line = b"MSG %s 9 %s %d\r\n" % (SUBJECT, reply, len(payload))
    reading.parser.feed_bytes(line + payload + b"\r\n")
    assert reading.taken() == [4]
    assert reading.feed.pending == 7


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.A.c.1.x.1.0.7",
        b"$JS.ACK.A.c.1.1.1",
        b"$JS.ACK." + b"1." * 30,
        b"other",
        b"$JS.ACK.",
    ],
)
def test_other_replies_are_ignored(reply: bytes) -> None:
    reading = Reading()
    reading.parser.feed_bytes(b"MSG %s 9 %s 3\r\nabc\r\n" % (SUBJECT, reply))
    assert reading.taken() == []
    assert reading.feed.sequence == 0


def test_random_streams_agree_with_oracle() -> None:
    for seed in range(150):
        chance = random.Random(seed)
        reading = Reading()
        stored: list[tuple[int, int, int, int]] = []
        for node_id in (2, 3, 4):
            offset = 0
            batches = []
            for _ in range(chance.randrange(1, 30)):
                count = chance.randrange(1, 4)
                batches.append((node_id, RUN, offset, count))
                offset += count
            # The sender stores each batch, and again everything behind a lost one.
            at = 0
            while at < len(batches):
                lost = chance.random() < 0.3 and at > 0
                group = batches[at : at + chance.randrange(1, 5)]
                stored += group[1:] if lost else group
                at += 0 if lost else len(group)
        order = sorted(range(len(stored)), key=lambda at: (at // 40, chance.random()))
        by_node: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
        for each in stored:
            by_node[each[0]].append(each)
        expected: list[int] = []
        following: dict[int, int] = defaultdict(int)
        for at in order:
            # The order of one sender is kept; those of different senders are mixed.
            node_id, run, offset, count = by_node[stored[at][0]].pop(0)
            reading.store(offset, count, node_id=node_id, run=run)
            if offset == following[node_id]:
                expected += range(offset, offset + count)
                following[node_id] += count
        assert reading.taken() == expected, seed


def test_run_of_dead_node_is_ended() -> None:
    reading = Reading()
    reading.store(0)
    reading.store(2, 3)
    assert reading.feed.runs.waiting == {PEER}
    assert reading.feed.runs.expire(PEER) == 4
    assert reading.feed.runs.expire(PEER) == 0
    reading.store(1)
    reading.store(2, 3)
    reading.store(5)
    assert reading.taken() == [0, 5]
