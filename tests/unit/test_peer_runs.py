"""The delivery rules where runs of peers begin and end, and around absences of this node."""

from __future__ import annotations

from fastcoord import Missed
from support.receiving.losses import DISCONNECT, discarded, gap
from support.receiving.receiving_side import (
    HEARTBEAT,
    INCARNATION,
    SENDER,
    ReceivingSide,
)

OTHER = INCARNATION + 1
HALF = 0.5 * HEARTBEAT

# ---------------------------------------------------------------------------------- first messages


def test_early_sender_begins_anywhere() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.now = 2 * HEARTBEAT
    assert receiver.receive(1000, 1) == [1000]
    assert receiver.receive(1002, 1) == [gap(1), 1002]


def test_late_sender_begins_at_zero() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.now = 2 * HEARTBEAT + 0.01
    assert receiver.receive(3, 1) == [gap(3), 3]


def test_early_heartbeat_waits_for_events() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.receive_presence(1000)
    assert receiver.receive(998, 2) == [998, 999]
    assert receiver.tick(HALF) == []
    assert receiver.receive(1001, 1) == [gap(1), 1001]


def test_early_heartbeat_reveals_gap() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.receive_presence(1000)
    assert receiver.receive(1002, 1) == [gap(2), 1002]


def test_early_heartbeat_begins_run() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.receive_presence(1000)
    assert receiver.tick(HALF) == []
    receiver.now = 100.0
    assert receiver.receive(1001, 1) == [gap(1), 1001]


def test_run_without_events_is_received() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.receive_presence(0)
    assert receiver.rules.received_by(SENDER, INCARNATION, 0) == (0, 0, 0)
    assert receiver.rules.received_by(SENDER, INCARNATION, 1) is None
    assert receiver.rules.received_by(SENDER, INCARNATION + 1, 0) is None


def test_late_heartbeat_expects_offset_zero() -> None:
    receiver = ReceivingSide()
    receiver.receive_presence(4)
    assert receiver.tick(HALF) == [gap(4)]


def test_run_of_roster_begins_anywhere() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.rules.join.roster([(SENDER, INCARNATION), (9, 9)])
    receiver.now = 100.0
    assert receiver.receive(1000, 1) == [1000]
    assert receiver.receive(1000, 1, node_id=9, incarnation=8)[0] == Missed(9, None, "gap")


def test_answer_to_hello_shows_first_offset() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.rules.join.introduced(SENDER, INCARNATION, 0, 1000, 0)
    assert receiver.receive(1002, 1) == [gap(2), 1002]


def test_late_answer_to_hello_is_ignored() -> None:
    # The node was paused after its hello, and the run that answers is newer than its join.
    receiver = ReceivingSide()
    receiver.rules.join.introduced(SENDER, INCARNATION, 0, 3, 0)
    assert receiver.receive(3, 1) == [gap(3), 3]


def test_returned_node_accepts_any_offset() -> None:
    # What the run sent before may have been sent after the absence was reported, through a server
    # that did not know the subscriptions of this node yet.
    receiver = ReceivingSide()
    receiver.return_after(10.0)
    assert receiver.receive(1000, 1) == [gap(None), 1000]
    assert receiver.receive(0, 1, node_id=8) == [0]
    receiver.now += 2 * HEARTBEAT + 0.01
    assert receiver.receive(3, 1, node_id=9) == [Missed(9, 3, "gap"), 3]


# --------------------------------------------------------------------------------- runs that end


def test_restart_without_goodbye_is_unknown() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 50)
    assert receiver.receive(0, 2, incarnation=OTHER) == [gap(None), 0, 1]
    assert receiver.receive(2, 1, incarnation=OTHER) == [2]
    assert receiver.watcher.losses == [gap(None)]


def test_restart_after_goodbye_is_complete() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_presence(1, note="goodbye")
    assert receiver.receive(0, 1, incarnation=OTHER) == [0]
    assert receiver.watcher.losses == []


def test_first_loss_after_restart_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 50)
    assert receiver.receive(4, 1, incarnation=OTHER) == [gap(None), gap(4), 4]


def test_new_run_resets_discards() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1, discarded=40)
    receiver.receive(0, 1, incarnation=OTHER, discarded=0)
    assert receiver.receive(3, 1, incarnation=OTHER, discarded=2) == [discarded(2), 3]


def test_former_run_is_late() -> None:
    # A frozen server thaws after its sender has restarted.
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    receiver.receive(0, 1, incarnation=OTHER)
    assert receiver.receive(5, 3) == []
    assert receiver.receive_presence(8, note="goodbye") == []
    assert receiver.receiver.late == 3
    assert receiver.watcher.questions == [SENDER]
    assert receiver.receive(1, 1, incarnation=OTHER) == [1]


def test_silence_is_reported_once() -> None:
    # A node and its server die together, or a sender leaves while routes are parted.
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    assert receiver.tick(3 * HEARTBEAT) == []
    assert receiver.tick(0.01) == [gap(None)]
    assert receiver.tick(100.0) == []
    assert receiver.receive(0, 1, incarnation=OTHER) == [0]


def test_silence_reports_tail_first() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    receiver.receive_presence(7)
    assert receiver.tick(100.0) == [gap(2), gap(None)]


def test_each_silence_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    assert receiver.tick(10.0) == [gap(None)]
    assert receiver.receive(6, 1) == [gap(1), 6]
    assert receiver.tick(10.0) == [gap(None)]


def test_goodbye_ends_run_completely() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    receiver.receive_presence(5, note="goodbye")
    assert receiver.tick(100.0) == []


def test_unknown_runs_goodbye_is_reported() -> None:
    # A sender restarts, publishes and leaves; only its goodbye arrives.
    receiver = ReceivingSide()
    receiver.receive(0, 5)
    assert receiver.receive_presence(9, incarnation=OTHER, note="goodbye") == [gap(None)]
    assert receiver.receive(5, 1) == [5]
    assert receiver.receive(0, 9, incarnation=OTHER) == []


def test_many_former_runs_are_remembered() -> None:
    receiver = ReceivingSide()
    for incarnation in range(10, 19):
        receiver.receive(0, 1, incarnation=incarnation)
    assert receiver.receive(1, 1, incarnation=10) == []
    assert receiver.rules.forgotten == 0
    receiver.receive(0, 1, incarnation=19)
    assert receiver.rules.forgotten == 1


# -------------------------------------------------------------------------- absence of this node


def test_absence_is_reported_once() -> None:
    # The sender leaves during the absence; nothing of it arrives afterwards.
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.rules.disconnected()
    receiver.rules.disconnected()
    assert receiver.taken() == []
    receiver.rules.connected(receiver.now)
    receiver.rules.connected(receiver.now)
    assert receiver.taken() == [DISCONNECT]


def test_absence_without_peers_is_reported() -> None:
    assert ReceivingSide().return_after(1.0) == [DISCONNECT]


def test_each_absence_is_reported() -> None:
    receiver = ReceivingSide()
    assert [receiver.return_after(1.0) for _ in range(3)] == [[DISCONNECT]] * 3


def test_exact_gap_follows_absence() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.return_after(1.0)
    assert receiver.receive(4, 1) == [gap(3), 4]


def test_restart_during_absence_is_unknown() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.return_after(1.0)
    assert receiver.receive(7, 1, incarnation=OTHER) == [gap(None), 7]


def test_absent_node_reports_no_silence() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.rules.disconnected()
    assert receiver.tick(1000.0) == []
