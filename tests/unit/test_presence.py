"""Who is there: peers that come and go, ids used twice, peers that do not number."""

from __future__ import annotations

from fastcoord import DuplicateNodeId, Missed, PeerDown, PeerUp
from support.receiving.receiving_side import HEARTBEAT, INCARNATION, RECEIVER, SENDER, ReceivingSide

OTHER = INCARNATION + 1


def gap(events: int | None) -> Missed:
    return Missed(SENDER, events, "gap")


# ----------------------------------------------------------------------------------- who is there


def test_a_peer_is_up_when_it_is_first_heard_and_down_at_its_goodbye() -> None:
    receiver = ReceivingSide(peers=True)
    assert receiver.hear(0, 1) == [PeerUp(SENDER), 0]
    assert receiver.hear(1, 1) == [1]
    assert receiver.hear(2, 0, note="goodbye") == [PeerDown(SENDER, True)]
    assert receiver.hear(2, 0, note="goodbye") == [PeerUp(SENDER), PeerDown(SENDER, True)]


def test_a_goodbye_tells_what_is_missing_first() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.hear(0, 1)
    assert receiver.hear(3, 0, note="goodbye") == [gap(2), PeerDown(SENDER, True)]


def test_a_peer_is_down_after_three_silent_heartbeats_and_not_before() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.now = 50.0
    receiver.hear(0, 1)
    receiver.gap_detector.tick(50.0 + 3 * HEARTBEAT)
    assert receiver.taken() == []
    receiver.gap_detector.tick(50.0 + 3 * HEARTBEAT + 0.01)
    receiver.gap_detector.tick(60.0)
    assert receiver.taken() == [PeerDown(SENDER, False)]


def test_a_peer_that_comes_back_is_up_again_and_continues_its_numbering() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.hear(0, 1)
    receiver.hear(1, 1)
    receiver.gap_detector.tick(1000.0)
    receiver.taken()
    assert receiver.hear(3, 1) == [PeerUp(SENDER), gap(1), 3]
    receiver.gap_detector.tick(2000.0)
    assert receiver.taken() == [PeerDown(SENDER, False)]


def test_every_batch_is_a_sign_of_life() -> None:
    receiver = ReceivingSide(peers=True)
    for beat in range(10):
        receiver.now = 50.0 + beat * 2 * HEARTBEAT
        receiver.hear(beat, 1)
        receiver.gap_detector.tick(receiver.now + 2 * HEARTBEAT)
    assert PeerDown(SENDER, False) not in receiver.taken()


def test_the_silence_of_an_absence_says_nothing_of_the_peers() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.now = 50.0
    receiver.hear(0, 1)
    receiver.gap_detector.left_the_bus()
    receiver.gap_detector.joined_the_bus(90.0)
    receiver.gap_detector.tick(90.0 + 3 * HEARTBEAT)
    assert receiver.taken() == []
    receiver.gap_detector.tick(90.01 + 3 * HEARTBEAT)
    assert receiver.taken() == [PeerDown(SENDER, False)]


def test_peers_are_back_when_the_last_one_that_was_up_is_heard() -> None:
    receiver = ReceivingSide()
    for node_id in (2, 3, 4):
        receiver.hear(0, 1, node_id=node_id)
    receiver.hear(1, 0, node_id=4, note="goodbye")
    receiver.gap_detector.left_the_bus()
    assert receiver.gap_detector.awaited == {2, 3}
    receiver.hear(1, 0, node_id=2)
    receiver.hear(1, 0, node_id=5)
    assert receiver.watching.returns == 0
    receiver.hear(1, 0, node_id=3)
    assert receiver.watching.returns == 1


def test_a_hello_is_passed_on() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 0, note="hello")
    receiver.hear(0, 0)
    assert receiver.watching.greetings == 1


# ----------------------------------------------------------------------------- duplicate node ids


def test_another_node_with_our_id_is_told_once_and_not_heard() -> None:
    receiver = ReceivingSide()
    ours = DuplicateNodeId(RECEIVER)
    assert receiver.hear(0, 1, node_id=RECEIVER, incarnation=OTHER) == [ours]
    assert receiver.hear(1, 1, node_id=RECEIVER, incarnation=OTHER) == []
    assert receiver.hear_unnumbered([1], node_id=RECEIVER) == []
    assert receiver.watching.duplicate_ids == [RECEIVER]


def test_our_own_messages_are_no_duplicate() -> None:
    receiver = ReceivingSide()
    assert receiver.hear(0, 1, node_id=RECEIVER) == []
    assert receiver.watching.duplicate_ids == []
    assert receiver.receiver.echoes == 1


def test_the_goodbye_of_the_run_before_ours_is_no_duplicate() -> None:
    receiver = ReceivingSide()
    assert receiver.hear(9, 0, node_id=RECEIVER, incarnation=OTHER, note="goodbye") == []


def test_who_wants_to_hears_its_own_events_once() -> None:
    receiver = ReceivingSide(hear_own=True, peers=True)
    assert receiver.hear(0, 2, node_id=RECEIVER) == [0, 1]
    assert receiver.hear(0, 2, node_id=RECEIVER, note="resend") == []
    assert receiver.hear(2, 1, node_id=RECEIVER) == [2]


def test_two_nodes_that_take_turns_under_one_id_are_told_once() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    receiver.hear(1, 1)
    assert receiver.hear(0, 1, incarnation=OTHER) == [0]
    assert receiver.hear(2, 1) == [2]
    assert receiver.hear(1, 1, incarnation=OTHER) == [DuplicateNodeId(SENDER), 1]
    assert receiver.hear(3, 1) == [3]
    assert receiver.watching.duplicate_ids == [SENDER]
    assert receiver.watching.losses == []


def test_one_late_message_of_the_run_before_is_no_duplicate() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    receiver.hear(0, 1, incarnation=OTHER)
    assert receiver.hear(1, 0) == []


def test_a_numbered_and_an_unnumbered_node_under_one_id_are_told() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    assert receiver.hear_unnumbered([5]) == [DuplicateNodeId(SENDER), 5]
    assert receiver.hear_unnumbered([6]) == [6]
    assert receiver.hear(1, 1) == [1]


# ------------------------------------------------------------------------------- unnumbered peers

DISCONNECT = Missed(None, None, "disconnect")


def test_an_absence_is_told_once_when_peers_do_not_number_their_events() -> None:
    receiver = ReceivingSide()
    receiver.hear_unnumbered([1])
    receiver.gap_detector.left_the_bus()
    assert receiver.taken() == []
    receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.taken() == [DISCONNECT]
    assert receiver.hear_unnumbered([2]) == [2]
    receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.taken() == []


def test_an_absence_is_told_before_the_first_event_of_a_peer_that_turns_out_unnumbered() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    receiver.gap_detector.left_the_bus()
    receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.taken() == []
    assert receiver.hear_unnumbered([1], node_id=9) == [DISCONNECT, 1]
    assert receiver.hear_unnumbered([2], node_id=9) == [2]


def test_an_absence_is_not_told_when_every_peer_numbers_its_events() -> None:
    receiver = ReceivingSide()
    receiver.hear(0, 1)
    receiver.gap_detector.left_the_bus()
    receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.hear(1, 1) == [1]
    assert receiver.watching.losses == []


def test_every_absence_is_told_by_itself() -> None:
    receiver = ReceivingSide()
    receiver.hear_unnumbered([1])
    for _ in range(3):
        receiver.gap_detector.left_the_bus()
        receiver.gap_detector.joined_the_bus(receiver.now)
    assert receiver.taken() == [DISCONNECT] * 3


def test_a_peer_without_numbers_is_neither_up_nor_down() -> None:
    receiver = ReceivingSide(peers=True)
    assert receiver.hear_unnumbered([1]) == [1]
    receiver.gap_detector.tick(1000.0)
    assert receiver.taken() == []
