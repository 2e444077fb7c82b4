"""A peer's own word: it corrects what a forged message has changed, and nothing else."""

from __future__ import annotations

from fastcoord import DuplicateNodeId, Missed, PeerDown, PeerUp
from support.receiving.receiving_side import HEARTBEAT, INCARNATION, RECEIVER, SENDER, ReceivingSide

OTHER = INCARNATION + 1
FAR = 1 << 40


def gap(events: int | None) -> Missed:
    return Missed(SENDER, events, "gap")


# ----------------------------------------------------------------------------- forged expectations


def test_forged_offset_is_corrected() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(FAR, 1)
    assert receiver.receive(1, 1) == []
    assert receiver.watcher.questions == [SENDER]
    assert receiver.answer(2) == [gap(None)]
    assert receiver.receive(2, 1) == [2]


def test_forged_connection_is_corrected() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(1, 1, connection=9)
    assert receiver.receive(2, 1) == []
    assert receiver.answer(3) == [gap(None)]
    assert receiver.receive(3, 1) == [3]


def test_forged_heartbeat_is_corrected() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_presence(FAR)
    assert receiver.tick(HEARTBEAT) == [gap(FAR - 1)]
    assert receiver.receive_presence(1) == []
    assert receiver.answer(1) == [gap(None)]
    assert receiver.receive(1, 1) == [1]


def test_forged_run_is_corrected() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive(0, 1, incarnation=OTHER) == [gap(None), 0]
    assert receiver.receive(1, 1) == []
    assert receiver.answer(2) == []
    assert receiver.tick(HEARTBEAT) == [gap(None)]
    assert receiver.receive(2, 1) == [2]


def test_word_that_agrees_changes_nothing() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    receiver.receive(2, 1)
    assert receiver.answer(5) == []
    assert receiver.receive(5, 1) == [5]
    assert receiver.watcher.losses == []


def test_word_is_compared_with_time_of_question() -> None:
    # Batches that were sent after the answer may arrive before it.
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    receiver.receive(2, 1)
    receiver.receive(5, 5)
    assert receiver.answer(6) == []
    assert receiver.receive(10, 1) == [10]


def test_word_before_new_run_is_ignored() -> None:
    # The answer is older than what was received of this run before the other one began.
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(0, 1)
    receiver.answer(1)
    receiver.receive(1, 1)
    assert receiver.receive(0, 1, incarnation=OTHER) == [gap(None), 0]
    assert receiver.tick(HEARTBEAT) == []


def test_word_without_question_is_ignored() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    assert receiver.answer(0) == []
    assert receiver.answer(0, node_id=99) == []
    assert receiver.receive(5, 1) == [5]


# ----------------------------------------------------------------------- peers that do not answer


def test_mute_peer_is_taken_up() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(FAR, 1)
    for offset in range(1, 7):
        assert receiver.receive(offset, 1) == []
        receiver.now += 0.5 * HEARTBEAT
    receiver.now += 0.01
    assert receiver.receive(7, 1) == [gap(None), 7]
    assert receiver.receive(8, 1) == [8]


def test_unasked_peer_is_taken_up() -> None:
    receiver = ReceivingSide()
    receiver.watcher.can_ask = False
    receiver.receive(0, 1)
    receiver.receive(FAR, 1)
    receiver.receive(1, 1)
    receiver.now += 3 * HEARTBEAT
    receiver.receive(2, 1)
    receiver.now += 0.01
    assert receiver.receive(3, 1) == [gap(None), 3]


def test_mute_former_run_is_taken_up() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(0, 1, incarnation=OTHER)
    receiver.now += 0.01
    receiver.receive(1, 1)
    receiver.now += 3 * HEARTBEAT
    receiver.receive(2, 1)
    receiver.now += 0.01
    assert receiver.receive(3, 1) == [gap(None), gap(2), 3]


def test_rare_late_batches_take_nothing_up() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    for _ in range(5):
        receiver.now += 3 * HEARTBEAT + 0.01
        assert receiver.receive(0, 1) == []


def test_late_batches_beside_newer_ones_are_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    receiver.receive(0, 1)
    receiver.now += 3 * HEARTBEAT
    assert receiver.receive(5, 1) == [5]
    receiver.receive(0, 1)
    receiver.now += 0.01
    assert receiver.receive(1, 1) == [gap(None)]
    assert receiver.receive(6, 1) == [6]


# ------------------------------------------------------------------------------ duplicate node ids


def two_runs() -> ReceivingSide:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive(0, 1, incarnation=OTHER) == [gap(None), 0]
    assert receiver.receive(1, 1) == []
    return receiver


def test_two_answers_twice_are_duplicate() -> None:
    receiver = two_runs()
    assert receiver.answer(2) == []
    assert receiver.answer(1, incarnation=OTHER) == []
    assert receiver.watcher.questions == [SENDER, SENDER]
    assert receiver.answer(1, incarnation=OTHER) == []
    assert receiver.answer(2) == [DuplicateNodeId(SENDER)]
    assert receiver.watcher.duplicate_ids == [SENDER]
    assert receiver.receive(1, 1, incarnation=OTHER) == [1]


def test_two_answers_once_are_no_duplicate() -> None:
    # A question that is delivered twice is answered before a restart and after it.
    receiver = two_runs()
    receiver.answer(2)
    receiver.answer(1, incarnation=OTHER)
    assert receiver.answer(1, incarnation=OTHER) == []
    assert receiver.tick(HEARTBEAT) == []
    assert receiver.watcher.duplicate_ids == []


def test_dropped_duplicates_are_reported() -> None:
    receiver = two_runs()
    for _ in range(2):
        receiver.answer(2)
        receiver.answer(1, incarnation=OTHER)
    receiver.tick(HEARTBEAT)
    receiver.taken()
    assert receiver.receive(2, 1) == []
    assert receiver.tick(HEARTBEAT) == [gap(None)]
    assert receiver.tick(HEARTBEAT) == []


def test_late_run_is_no_duplicate() -> None:
    receiver = two_runs()
    assert receiver.answer(1, incarnation=OTHER) == []
    assert receiver.tick(10 * HEARTBEAT)[:1] == [gap(None)]
    assert receiver.watcher.duplicate_ids == []


def test_own_id_is_duplicate_once() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(0, 1, node_id=RECEIVER, incarnation=OTHER) == []
    assert receiver.watcher.questions == [RECEIVER]
    ours = DuplicateNodeId(RECEIVER)
    assert receiver.answer(1, node_id=RECEIVER, incarnation=OTHER) == [ours]
    assert receiver.receive(1, 1, node_id=RECEIVER, incarnation=OTHER) == []
    assert receiver.answer(1, node_id=RECEIVER, incarnation=OTHER) == []
    assert receiver.watcher.duplicate_ids == [RECEIVER]


def test_own_ids_answer_to_hello_is_duplicate() -> None:
    receiver = ReceivingSide()
    receiver.rules.join.introduced(RECEIVER, OTHER, 0, 0, 0)
    assert receiver.taken() == [DuplicateNodeId(RECEIVER)]


def test_own_old_messages_are_no_duplicate() -> None:
    # A frozen server thaws after this node has restarted.
    receiver = ReceivingSide()
    assert receiver.receive(5, 3, node_id=RECEIVER, incarnation=OTHER) == []
    assert receiver.tick(10 * HEARTBEAT) == []
    assert receiver.watcher.duplicate_ids == []


def test_switch_keeps_peer_up() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    receiver.receive(0, 1, incarnation=OTHER)
    receiver.receive(1, 1)
    receiver.answer(2)
    receiver.tick(HEARTBEAT)
    assert receiver.receive(2, 1)[-1:] == [2]
    assert PeerDown(SENDER, False) not in receiver.taken()
    assert PeerUp(SENDER) not in receiver.taken()
