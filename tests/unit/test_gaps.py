"""What is missing, from whom and why: small cases, each one sequence of batches."""

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


def test_batches_in_order_are_delivered_and_nothing_is_told() -> None:
    receiver = ReceivingSide()
    assert receiver.hear(0, 2) == [0, 1]
    assert receiver.hear(2, 0) == []
    assert receiver.hear(2, 3) == [2, 3, 4]
    assert receiver.receiver.peers[SENDER].expected == 5
    assert receiver.watching.losses == []


def test_a_gap_is_told_exactly_and_before_what_follows_it() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 2)
    assert receiver.hear(7, 1) == [gap(5), 7]
    assert receiver.hear(8, 1) == [8]
    assert receiver.receiver.peers[SENDER].missed == 5


def test_a_lost_tail_is_told_by_the_heartbeat() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 2)
    assert receiver.hear(5, 0) == [gap(3)]
    assert receiver.hear(5, 0) == []


def test_every_gap_is_told_by_itself() -> None:
    receiver = ReceivingSide()
    assert receiver.hear(1, 1) == [gap(1), 1]
    assert receiver.hear(4, 1) == [gap(2), 4]
    assert receiver.hear(8, 1) == [gap(3), 8]
    assert receiver.watching.losses == [gap(1), gap(2), gap(3)]


def test_two_senders_are_numbered_apart() -> None:
    receiver = ReceivingSide()
    assert receiver.hear(0, 2, node_id=2) == [0, 1]
    assert receiver.hear(0, 2, node_id=3) == [0, 1]
    assert receiver.hear(3, 1, node_id=3) == [Missed(3, 1, "gap"), 3]
    assert receiver.hear(2, 1, node_id=2) == [2]


@pytest.mark.parametrize(
    ("thrown", "lost", "told"),
    [
        (3, 0, [discarded(3)]),
        (0, 3, [gap(3)]),
        (2, 3, [discarded(2), gap(3)]),
    ],
)
def test_what_the_sender_discarded_is_told_as_its_doing(
    thrown: int, lost: int, told: list[Missed]
) -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1, discarded=0)
    assert receiver.hear(1 + thrown + lost, 1, discarded=thrown) == [*told, 1 + thrown + lost]
    assert receiver.hear(10, 1, discarded=thrown)[0] == gap(8 - thrown - lost)


def test_more_discarded_than_missing_explains_no_more_than_what_is_missing() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    assert receiver.hear(2, 1, discarded=50) == [discarded(1), 2]


def test_a_batch_that_looks_back_says_nothing_of_what_was_discarded() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    assert receiver.hear(0, 0, discarded=1, note="hello") == []
    assert receiver.hear(0, 1, discarded=1, note="resend") == []
    assert receiver.hear(2, 1, discarded=1) == [discarded(1), 2]
    assert receiver.hear(0, 1, discarded=0) == []
    assert receiver.hear(5, 1, discarded=1) == [gap(2), 5]


# ------------------------------------------------------------------------------- what came before


def test_a_batch_that_was_heard_is_skipped_and_counted() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 3)
    receiver.hear(3, 2)
    assert receiver.hear(0, 3) == []
    assert receiver.hear(3, 2) == []
    assert receiver.receiver.duplicates == 5
    assert receiver.hear(5, 1) == [5]


def test_of_a_batch_that_overlaps_only_the_new_events_are_delivered() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 3)
    assert receiver.hear(1, 5, note="resend") == [3, 4, 5]
    assert receiver.receiver.duplicates == 2
    assert receiver.hear(6, 1) == [6]


def test_what_was_told_as_missing_is_not_delivered_late() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    receiver.hear(3, 1)
    assert receiver.hear(1, 2, note="resend") == []
    assert receiver.hear(3, 1, note="resend") == []
    assert receiver.hear(4, 1) == [4]


def test_a_repetition_without_a_note_is_skipped_even_right_behind_a_loss_of_its_size() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    assert receiver.hear(2, 1) == [gap(1), 2]
    assert receiver.hear(2, 1) == []
    assert receiver.hear(3, 1) == [3]


def test_resends_after_an_outage_never_make_a_false_gap() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 4)
    receiver.gap_detector.left_the_bus()
    receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.hear(2, 0, note="hello") == []
    assert receiver.hear(2, 1, note="resend") == []
    assert receiver.hear(3, 2, note="resend") == [4]
    assert receiver.hear(5, 1) == [5]
    assert receiver.watching.losses == []


# ------------------------------------------------------------------------------------ first heard


def test_a_sender_heard_within_two_heartbeats_may_begin_anywhere() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.now = 2 * HEARTBEAT
    assert receiver.hear(1000, 1) == [1000]
    assert receiver.hear(1002, 1) == [gap(1), 1002]


def test_a_sender_first_heard_later_began_at_the_beginning() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.now = 2 * HEARTBEAT + 0.01
    assert receiver.hear(3, 1) == [gap(3), 3]


def test_a_sender_that_was_taken_up_anywhere_is_held_to_its_numbering_from_then_on() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.hear(1000, 0)
    receiver.now = 100.0
    assert receiver.hear(1001, 1) == [gap(1), 1001]


# --------------------------------------------------------------------------------------- restarts


def test_a_restart_is_not_a_gap() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 50)
    assert receiver.hear(0, 2, incarnation=OTHER) == [0, 1]
    assert receiver.hear(2, 1, incarnation=OTHER) == [2]
    assert receiver.watching.losses == []


def test_what_a_restarted_sender_loses_first_is_told() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 50)
    assert receiver.hear(4, 1, incarnation=OTHER) == [gap(4), 4]


def test_a_sender_that_restarted_while_this_node_was_away_may_have_ended_anywhere() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    receiver.gap_detector.left_the_bus()
    receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.hear(0, 1, incarnation=OTHER) == [gap(None), 0]


def test_a_sender_that_said_goodbye_before_it_restarted_left_nothing_open() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    receiver.hear(1, 0, note="goodbye")
    receiver.gap_detector.left_the_bus()
    receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.hear(0, 1, incarnation=OTHER) == [0]


def test_the_new_incarnations_count_of_discarded_events_starts_anew() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1, discarded=40)
    receiver.hear(0, 1, incarnation=OTHER, discarded=0)
    assert receiver.hear(3, 1, incarnation=OTHER, discarded=2) == [discarded(2), 3]
