"""Gap detection: each case is a sequence of batches and the expected notices."""

from __future__ import annotations

import pytest

from fastcoord import Missed
from support.receiving.receiving_side import HEARTBEAT, INCARNATION, SENDER, ReceivingSide

OTHER = INCARNATION + 1


def gap(events: int | None) -> Missed:
    return Missed(SENDER, events, "gap")


def discarded(events: int) -> Missed:
    return Missed(SENDER, events, "discarded")


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


def test_heartbeat_reveals_lost_tail() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 2)
    assert receiver.receive(5, 0) == [gap(3)]
    assert receiver.receive(5, 0) == []


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
    assert receiver.receive(0, 0, discarded=1, note="hello") == []
    assert receiver.receive(0, 1, discarded=1, note="resend") == []
    assert receiver.receive(2, 1, discarded=1) == [discarded(1), 2]
    assert receiver.receive(0, 1, discarded=0) == []
    assert receiver.receive(5, 1, discarded=1) == [gap(2), 5]


# ---------------------------------------------------------------------------- repeats and overlaps


def test_duplicate_batch_is_counted() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 3)
    receiver.receive(3, 2)
    assert receiver.receive(0, 3) == []
    assert receiver.receive(3, 2) == []
    assert receiver.receiver.duplicates == 5
    assert receiver.receive(5, 1) == [5]


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
    assert receiver.receive(3, 1, note="resend") == []
    assert receiver.receive(4, 1) == [4]


def test_unnoted_repeat_after_loss_is_skipped() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive(2, 1) == [gap(1), 2]
    assert receiver.receive(2, 1) == []
    assert receiver.receive(3, 1) == [3]


def test_resends_make_no_false_gap() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 4)
    receiver.gap_detector.disconnected()
    receiver.gap_detector.connected(receiver.now)
    assert receiver.receive(2, 0, note="hello") == []
    assert receiver.receive(2, 1, note="resend") == []
    assert receiver.receive(3, 2, note="resend") == [4]
    assert receiver.receive(5, 1) == [5]
    assert receiver.watcher.losses == []


# ---------------------------------------------------------------------------------- first messages


def test_early_sender_begins_anywhere() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.now = 2 * HEARTBEAT
    assert receiver.receive(1000, 1) == [1000]
    assert receiver.receive(1002, 1) == [gap(1), 1002]


@pytest.mark.parametrize(("offset", "expected"), [(1000, [gap(None), 1000]), (0, [0])])
def test_disconnect_makes_early_sender_unknown(offset: int, expected: list[Missed | int]) -> None:
    receiver = ReceivingSide(settled=False)
    receiver.gap_detector.disconnected()
    receiver.gap_detector.connected(receiver.now)
    assert receiver.receive(offset, 1) == expected
    assert receiver.receive(offset + 2, 1) == [gap(1), offset + 2]


def test_late_sender_begins_at_zero() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.now = 2 * HEARTBEAT + 0.01
    assert receiver.receive(3, 1) == [gap(3), 3]


def test_early_sender_gaps_are_reported() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.receive(1000, 0)
    receiver.now = 100.0
    assert receiver.receive(1001, 1) == [gap(1), 1001]


# --------------------------------------------------------------------------------------- restarts


def test_restart_is_no_gap() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 50)
    assert receiver.receive(0, 2, incarnation=OTHER) == [0, 1]
    assert receiver.receive(2, 1, incarnation=OTHER) == [2]
    assert receiver.watcher.losses == []


def test_first_loss_after_restart_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 50)
    assert receiver.receive(4, 1, incarnation=OTHER) == [gap(4), 4]


def test_restart_during_disconnect_is_unknown() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.gap_detector.disconnected()
    receiver.gap_detector.connected(receiver.now)
    assert receiver.receive(0, 1, incarnation=OTHER) == [gap(None), 0]


def test_restart_after_goodbye_is_complete() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(1, 0, note="goodbye")
    receiver.gap_detector.disconnected()
    receiver.gap_detector.connected(receiver.now)
    assert receiver.receive(0, 1, incarnation=OTHER) == [0]


def test_new_incarnation_resets_discards() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1, discarded=40)
    receiver.receive(0, 1, incarnation=OTHER, discarded=0)
    assert receiver.receive(3, 1, incarnation=OTHER, discarded=2) == [discarded(2), 3]
