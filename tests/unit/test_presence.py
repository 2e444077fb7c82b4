"""Presence: peers that go up and down, duplicate node ids, peers without sequence headers."""

from __future__ import annotations

from fastcoord import DuplicateNodeId, Missed, PeerDown, PeerUp
from support.receiving.receiving_side import HEARTBEAT, INCARNATION, RECEIVER, SENDER, ReceivingSide

OTHER = INCARNATION + 1


def gap(events: int | None) -> Missed:
    return Missed(SENDER, events, "gap")


# -------------------------------------------------------------------------------------- up and down


def test_peer_goes_up_and_down() -> None:
    receiver = ReceivingSide(peers=True)
    assert receiver.receive(0, 1) == [PeerUp(SENDER), 0]
    assert receiver.receive(1, 1) == [1]
    assert receiver.receive(2, 0, note="goodbye") == [PeerDown(SENDER, True)]
    assert receiver.receive(2, 0, note="goodbye") == [PeerUp(SENDER), PeerDown(SENDER, True)]


def test_goodbye_reports_missing_first() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    assert receiver.receive(3, 0, note="goodbye") == [gap(2), PeerDown(SENDER, True)]


def test_three_silent_heartbeats_mean_down() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.now = 50.0
    receiver.receive(0, 1)
    receiver.gap_detector.tick(50.0 + 3 * HEARTBEAT)
    assert receiver.taken() == []
    receiver.gap_detector.tick(50.0 + 3 * HEARTBEAT + 0.01)
    receiver.gap_detector.tick(60.0)
    assert receiver.taken() == [PeerDown(SENDER, False)]


def test_returning_peer_continues_offsets() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    receiver.receive(1, 1)
    receiver.gap_detector.tick(1000.0)
    receiver.taken()
    assert receiver.receive(3, 1) == [PeerUp(SENDER), gap(1), 3]
    receiver.gap_detector.tick(2000.0)
    assert receiver.taken() == [PeerDown(SENDER, False)]


def test_every_batch_proves_life() -> None:
    receiver = ReceivingSide(peers=True)
    for beat in range(10):
        receiver.now = 50.0 + beat * 2 * HEARTBEAT
        receiver.receive(beat, 1)
        receiver.gap_detector.tick(receiver.now + 2 * HEARTBEAT)
    assert PeerDown(SENDER, False) not in receiver.taken()


def test_own_disconnect_downs_no_peer() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.now = 50.0
    receiver.receive(0, 1)
    receiver.gap_detector.disconnected()
    receiver.gap_detector.connected(90.0)
    receiver.gap_detector.tick(90.0 + 3 * HEARTBEAT)
    assert receiver.taken() == []
    receiver.gap_detector.tick(90.01 + 3 * HEARTBEAT)
    assert receiver.taken() == [PeerDown(SENDER, False)]


def test_last_returning_peer_completes_return() -> None:
    receiver = ReceivingSide()
    for node_id in (2, 3, 4):
        receiver.receive(0, 1, node_id=node_id)
    receiver.receive(1, 0, node_id=4, note="goodbye")
    receiver.gap_detector.disconnected()
    assert receiver.gap_detector.awaited == {2, 3}
    receiver.receive(1, 0, node_id=2)
    receiver.receive(1, 0, node_id=5)
    assert receiver.watcher.returns == 0
    receiver.receive(1, 0, node_id=3)
    assert receiver.watcher.returns == 1


# ----------------------------------------------------------------------------- duplicate node ids


def test_own_id_duplicate_is_reported_once() -> None:
    receiver = ReceivingSide()
    ours = DuplicateNodeId(RECEIVER)
    assert receiver.receive(0, 1, node_id=RECEIVER, incarnation=OTHER) == [ours]
    assert receiver.receive(1, 1, node_id=RECEIVER, incarnation=OTHER) == []
    assert receiver.receive_unnumbered([1], node_id=RECEIVER) == []
    assert receiver.watcher.duplicate_ids == [RECEIVER]


def test_own_messages_are_no_duplicate() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(0, 1, node_id=RECEIVER) == []
    assert receiver.watcher.duplicate_ids == []
    assert receiver.receiver.echoes == 1


def test_previous_goodbye_is_no_duplicate() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(9, 0, node_id=RECEIVER, incarnation=OTHER, note="goodbye") == []


def test_own_events_come_once() -> None:
    receiver = ReceivingSide(deliver_own=True, peers=True)
    assert receiver.receive(0, 2, node_id=RECEIVER) == [0, 1]
    assert receiver.receive(0, 2, node_id=RECEIVER, note="resend") == []
    assert receiver.receive(2, 1, node_id=RECEIVER) == [2]


def test_alternating_duplicates_are_reported_once() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(1, 1)
    assert receiver.receive(0, 1, incarnation=OTHER) == [0]
    assert receiver.receive(2, 1) == [2]
    assert receiver.receive(1, 1, incarnation=OTHER) == [DuplicateNodeId(SENDER), 1]
    assert receiver.receive(3, 1) == [3]
    assert receiver.watcher.duplicate_ids == [SENDER]
    assert receiver.watcher.losses == []


def test_late_message_is_no_duplicate() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(0, 1, incarnation=OTHER)
    assert receiver.receive(1, 0) == []


def test_unnumbered_duplicate_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive_unnumbered([5]) == [DuplicateNodeId(SENDER), 5]
    assert receiver.receive_unnumbered([6]) == [6]
    assert receiver.receive(1, 1) == [1]


# ------------------------------------------------------------------ peers without sequence headers

DISCONNECT = Missed(None, None, "disconnect")


def test_unnumbered_disconnect_is_reported_once() -> None:
    receiver = ReceivingSide()
    receiver.receive_unnumbered([1])
    receiver.gap_detector.disconnected()
    assert receiver.taken() == []
    receiver.gap_detector.connected(receiver.now)
    assert receiver.taken() == [DISCONNECT]
    assert receiver.receive_unnumbered([2]) == [2]
    receiver.gap_detector.connected(receiver.now)
    assert receiver.taken() == []


def test_disconnect_precedes_unnumbered_events() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.gap_detector.disconnected()
    receiver.gap_detector.connected(receiver.now)
    assert receiver.taken() == []
    assert receiver.receive_unnumbered([1], node_id=9) == [DISCONNECT, 1]
    assert receiver.receive_unnumbered([2], node_id=9) == [2]


def test_numbered_disconnect_is_not_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.gap_detector.disconnected()
    receiver.gap_detector.connected(receiver.now)
    assert receiver.receive(1, 1) == [1]
    assert receiver.watcher.losses == []


def test_each_disconnect_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive_unnumbered([1])
    for _ in range(3):
        receiver.gap_detector.disconnected()
        receiver.gap_detector.connected(receiver.now)
    assert receiver.taken() == [DISCONNECT] * 3


def test_unnumbered_peer_has_no_presence() -> None:
    receiver = ReceivingSide(peers=True)
    assert receiver.receive_unnumbered([1]) == [1]
    receiver.gap_detector.tick(1000.0)
    assert receiver.taken() == []
