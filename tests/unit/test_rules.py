"""The delivery rules within a run: each case is a sequence of messages and the expected items."""

from __future__ import annotations

import pytest

from fastcoord import Missed, ProtocolMismatch
from support.receiving.losses import DISCONNECT, discarded, gap, undecodable
from support.receiving.receiving_side import (
    HEARTBEAT,
    INCARNATION,
    SENDER,
    Received,
    ReceivingSide,
    payload,
)

OTHER = INCARNATION + 1
HALF = 0.5 * HEARTBEAT

# --------------------------------------------------------------------------------- order and gaps


def test_ordered_batches_report_nothing() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(0, 2) == [0, 1]
    assert receiver.receive(2, 0) == []
    assert receiver.receive(2, 3) == [2, 3, 4]
    assert receiver.receiver.peers[SENDER].expected == 5
    assert receiver.watcher.losses == []


def test_gap_precedes_later_events() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    assert receiver.receive(7, 1) == [gap(5), 7]
    assert receiver.receive(8, 1) == [8]
    assert receiver.receiver.peers[SENDER].missed == 5


def test_each_gap_is_reported() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(1, 1) == [gap(1), 1]
    assert receiver.receive(4, 1) == [gap(2), 4]
    assert receiver.receive(8, 1) == [gap(3), 8]
    assert receiver.watcher.losses == [gap(1), gap(2), gap(3)]


def test_senders_have_separate_offsets() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(0, 2, node_id=2) == [0, 1]
    assert receiver.receive(0, 2, node_id=3) == [0, 1]
    assert receiver.receive(3, 1, node_id=3) == [Missed(3, 1, "gap"), 3]
    assert receiver.receive(2, 1, node_id=2) == [2]


@pytest.mark.parametrize(
    ("dropped", "lost", "reported"),
    [
        (3, 0, [discarded(3)]),
        (0, 3, [gap(3)]),
        (2, 3, [discarded(2), gap(3)]),
    ],
)
def test_sender_discards_are_reported(dropped: int, lost: int, reported: list[Missed]) -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1, discarded=0)
    assert receiver.receive(1 + dropped + lost, 1, discarded=dropped) == [
        *reported,
        1 + dropped + lost,
    ]
    assert receiver.receive(10, 1, discarded=dropped)[0] == gap(8 - dropped - lost)


def test_discards_explain_only_missing() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive(2, 1, discarded=50) == [discarded(1), 2]


def test_repeated_batch_reports_no_discards() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive_presence(0, discarded=1, note="hello") == []
    assert receiver.receive(0, 1, discarded=1, note="resend") == []
    assert receiver.receive(2, 1, discarded=1) == [discarded(1), 2]
    assert receiver.receive(0, 1, discarded=0, note="resend") == []
    assert receiver.receive(5, 1, discarded=1) == [gap(2), 5]


# -------------------------------------------------------------------- resends and late batches


def test_resend_is_skipped() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 3)
    receiver.receive(3, 2)
    assert receiver.receive(0, 3, note="resend") == []
    assert receiver.receive(3, 2, note="resend") == []
    assert receiver.receiver.duplicates == 5
    assert receiver.receive(5, 1) == [5]
    assert receiver.watcher.questions == []


def test_overlap_delivers_only_new() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 3)
    assert receiver.receive(1, 5, note="resend") == [3, 4, 5]
    assert receiver.receiver.duplicates == 2
    assert receiver.receive(6, 1) == [6]


def test_missed_events_are_not_delivered() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(3, 1)
    assert receiver.receive(1, 2, note="resend") == []
    assert receiver.receive(1, 2) == []
    assert receiver.receive(3, 1, note="resend") == []
    assert receiver.receive(4, 1) == [4]


def test_late_batch_is_dropped_and_verified() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    receiver.receive(4, 1)
    assert receiver.receive(2, 2) == []
    assert (receiver.receiver.late, receiver.receiver.duplicates) == (2, 0)
    assert receiver.watcher.questions == [SENDER]
    assert receiver.receive(5, 1) == [5]


def test_second_copy_by_slow_route_is_late() -> None:
    # The receiver moves to another server, which gets batches a second time through a slow route.
    # A rule that takes a batch before the expected offset for a forged expectation would deliver
    # these twice.
    receiver = ReceivingSide()
    receiver.receive(0, 10)
    assert receiver.return_after(0.1) == [DISCONNECT]
    assert receiver.receive(0, 10) == []
    assert receiver.answer(10) == []
    assert receiver.receive(10, 1) == [10]
    assert receiver.receiver.late == 10


def test_older_connection_is_late() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(0, 1) == [0]
    assert receiver.receive(1, 1, connection=1, note="resend") == [1]
    assert receiver.receive(1, 1) == []
    assert receiver.receive(2, 1) == []
    assert receiver.receive(2, 1, connection=1) == [2]
    assert receiver.receiver.late == 2


def test_order_holds_across_moved_sender() -> None:
    # The route stalls, the sender moves to the other server, the route recovers.
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive(9, 3, connection=1) == [gap(8), 9, 10, 11]
    assert receiver.receive(1, 8) == []
    assert receiver.receive(9, 3, note="resend") == []
    assert receiver.receive(12, 1, connection=1) == [12]
    assert receiver.watcher.losses == [gap(8)]


def test_older_goodbye_is_ignored() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1, connection=2)
    assert receiver.receive_presence(0, connection=1, note="goodbye")[1:] == []
    assert receiver.receiver.peers[SENDER].history.is_up


def test_resends_make_no_false_gap() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 4)
    receiver.return_after(0.1)
    assert receiver.receive_presence(2, note="hello", connection=1) == []
    assert receiver.receive(2, 1, note="resend", connection=1) == []
    assert receiver.receive(3, 2, note="resend", connection=1) == [4]
    assert receiver.receive(5, 1, connection=1) == [5]
    assert receiver.watcher.losses == [DISCONNECT]
    assert receiver.watcher.questions == []


# ------------------------------------------------------------------------------------------ tails


def test_heartbeat_reveals_lost_tail() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    assert receiver.receive_presence(5) == []
    assert receiver.tick(HALF - 0.01) == []
    assert receiver.tick(0.01) == [gap(3)]
    assert receiver.receive_presence(5) == []
    assert receiver.tick(HALF) == []


def test_tail_waits_for_slower_events() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    receiver.receive_presence(5)
    assert receiver.receive(2, 3) == [2, 3, 4]
    assert receiver.tick(HALF) == []


def test_reported_tail_is_not_delivered() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    receiver.receive_presence(5)
    receiver.tick(HALF)
    assert receiver.receive(2, 3) == []
    assert receiver.receive(5, 1) == [5]


def test_frequent_heartbeats_delay_no_tail() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    reported: list[Received] = []
    for _ in range(4):
        receiver.receive_presence(5)
        reported += receiver.tick(HALF / 2)
    assert reported == [gap(3)]


def test_tail_counts_discards() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    receiver.receive_presence(5, discarded=2)
    assert receiver.tick(HALF) == [discarded(2), gap(1)]


def test_tail_shows_newest_connection() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    receiver.receive_presence(5, connection=1)
    assert receiver.tick(HALF) == [gap(3)]
    assert receiver.receive(5, 1) == []
    assert receiver.receive(5, 1, connection=1) == [5]


def test_goodbye_reveals_lost_tail() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    receiver.receive_presence(5, note="goodbye")
    assert receiver.tick(HALF) == [gap(3)]
    assert receiver.tick(100.0) == []


def test_new_run_reports_tail_first() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    receiver.receive_presence(5, note="goodbye")
    assert receiver.receive(0, 1, incarnation=OTHER) == [gap(3), 0]


def test_heartbeat_below_expected_is_verified() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    assert receiver.receive_presence(3) == []
    assert receiver.watcher.questions == [SENDER]


# ------------------------------------------------------------------------- headers and payloads


def test_wrong_count_becomes_gap() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive(1, 2, claimed=3) == []
    assert receiver.receive(3, 1) == [gap(2), 3]
    assert receiver.receiver.malformed == 1


def test_malformed_header_becomes_gap() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive_payload("malformed", payload([1, 2])) == []
    assert receiver.receive(3, 1) == [gap(2), 3]


def test_unknown_senders_malformed_header_is_reported() -> None:
    assert ReceivingSide().receive_payload("malformed", payload([1, 2])) == [undecodable(2)]
    assert ReceivingSide().receive_payload("malformed", payload([])) == [undecodable(None)]


def test_huge_counters_do_no_harm() -> None:
    receiver = ReceivingSide()
    most = (1 << 64) - 1
    for incarnation in range(1, 5):
        receiver.receive_payload((incarnation, most - 1, 1, most), payload([1]))
    assert receiver.receiver.peers[SENDER].missed == most
    bad = payload([1]) + b"\xff"
    for _ in range(3):
        receiver.receive_payload((4, 0, most - 1, 0), bad)
    receiver.receive_payload((4, 1 << 33, most - (1 << 33), 0), bad)
    assert receiver.receiver.duplicates < 100


def test_undecodable_tail_follows_events() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(0, 2, claimed=5, tail=b"\xff") == [0, 1, undecodable(3)]
    assert receiver.receive(5, 1) == [5]
    assert receiver.receiver.malformed == 1


def test_repeated_tail_is_not_missing() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 4)
    assert receiver.receive(0, 2, claimed=5, tail=b"\xff", note="resend") == [undecodable(1)]
    assert receiver.receive(5, 1) == [5]


def test_unnumbered_tail_has_unknown_size() -> None:
    assert ReceivingSide().receive_unnumbered([1], tail=b"\xff") == [1, undecodable(None)]


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"\x80"])
def test_message_without_sender_is_reported(content: bytes) -> None:
    receiver = ReceivingSide()
    assert receiver.receive_payload(None, content) == [Missed(None, None, "undecodable")]
    assert receiver.receiver.peers == {}


# ------------------------------------------------------------------------------ received so far


def test_progress_names_last_gap() -> None:
    receiver = ReceivingSide(settled=False)
    assert receiver.rules.received_by(SENDER, INCARNATION, 9) is None
    receiver.receive_presence(3)
    assert receiver.rules.received_by(SENDER, INCARNATION, 9) is None
    receiver.receive(3, 2)
    assert receiver.rules.received_by(SENDER, INCARNATION, 9) == (5, 3, 3)
    receiver.receive(7, 1)
    assert receiver.rules.received_by(SENDER, INCARNATION, 9) == (8, 7, 3)
    assert receiver.rules.received_by(SENDER, OTHER, 9) is None


def test_new_run_ends_mismatch() -> None:
    receiver = ReceivingSide()
    receiver.rules.with_other_protocol(SENDER, 1, 0, False)
    assert receiver.watcher.mismatches == {SENDER: "stalwart-0.16"}
    assert receiver.receive(0, 1) == [ProtocolMismatch(SENDER, "stalwart-0.16"), 0]
    assert receiver.watcher.mismatches == {}
