"""Presence: peers that go up and down, duplicate node ids, peers without sequence headers."""

from __future__ import annotations

import pytest

from fastcoord import DuplicateNodeId, Missed, PeerDown, PeerUp
from support.receiving.losses import gap
from support.receiving.receiving_side import (
    HEARTBEAT,
    INCARNATION,
    RECEIVER,
    SENDER,
    Received,
    ReceivingSide,
    payload,
)

OTHER = INCARNATION + 1


# -------------------------------------------------------------------------------------- up and down


def test_peer_goes_up_and_down() -> None:
    receiver = ReceivingSide(peers=True)
    assert receiver.receive(0, 1) == [PeerUp(SENDER), 0]
    assert receiver.receive(1, 1) == [1]
    assert receiver.receive(2, 0, note="goodbye") == [PeerDown(SENDER, True)]
    assert receiver.receive(2, 0, note="goodbye") == [PeerUp(SENDER), PeerDown(SENDER, True)]


def test_goodbye_reports_missing_later() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    assert receiver.receive(3, 0, note="goodbye") == [PeerDown(SENDER, True)]
    assert receiver.tick(HEARTBEAT) == [gap(2)]


def test_three_silent_heartbeats_mean_down() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.now = 50.0
    receiver.receive(0, 1)
    receiver.rules.tick(50.0 + 3 * HEARTBEAT)
    assert receiver.taken() == []
    receiver.rules.tick(50.0 + 3 * HEARTBEAT + 0.01)
    receiver.rules.tick(60.0)
    assert receiver.taken() == [gap(None), PeerDown(SENDER, False)]


def test_returning_peer_continues_offsets() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    receiver.receive(1, 1)
    receiver.rules.tick(1000.0)
    receiver.taken()
    assert receiver.receive(3, 1) == [PeerUp(SENDER), gap(1), 3]
    receiver.rules.tick(2000.0)
    assert receiver.taken() == [gap(None), PeerDown(SENDER, False)]


def test_every_batch_proves_life() -> None:
    receiver = ReceivingSide(peers=True)
    for beat in range(10):
        receiver.now = 50.0 + beat * 2 * HEARTBEAT
        receiver.receive(beat, 1)
        receiver.rules.tick(receiver.now + 2 * HEARTBEAT)
    assert PeerDown(SENDER, False) not in receiver.taken()


def test_own_disconnect_downs_no_peer() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.now = 50.0
    receiver.receive(0, 1)
    receiver.rules.disconnected()
    receiver.rules.connected(90.0)
    receiver.rules.tick(90.0 + 3 * HEARTBEAT)
    assert receiver.taken() == [Missed(None, None, "disconnect")]
    receiver.rules.tick(90.01 + 3 * HEARTBEAT)
    assert receiver.taken() == [gap(None), PeerDown(SENDER, False)]


def test_last_returning_peer_completes_return() -> None:
    receiver = ReceivingSide()
    for node_id in (2, 3, 4):
        receiver.receive(0, 1, node_id=node_id)
    receiver.receive(1, 0, node_id=4, note="goodbye")
    receiver.rules.disconnected()
    assert receiver.rules.awaited == {2, 3}
    receiver.receive(1, 0, node_id=2)
    receiver.receive(1, 0, node_id=5)
    assert receiver.watcher.returns == 0
    receiver.receive(1, 0, node_id=3)
    assert receiver.watcher.returns == 1


@pytest.mark.parametrize("silence", [0.0, HEARTBEAT, 5 * HEARTBEAT])
def test_declared_silence_is_respected(silence: float) -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    receiver.receive_presence(1, silence=round(silence * 1000))
    interval = max(silence, HEARTBEAT)
    assert receiver.tick(3 * interval) == []
    assert PeerDown(SENDER, False) in receiver.tick(0.01)


def test_declared_silence_is_bounded() -> None:
    receiver = ReceivingSide(peers=True)
    receiver.receive_presence(0, silence=(1 << 32) - 1)
    assert PeerDown(SENDER, False) in receiver.tick(1801.0)


def test_silence_is_read_beside_events() -> None:
    receiver = ReceivingSide(peers=True)
    for offset in range(3):
        receiver.receive(offset, 1)
    receiver.receive_presence(3, silence=round(5000 * HEARTBEAT))
    assert receiver.tick(14 * HEARTBEAT) == []


# ----------------------------------------------------------------------------- duplicate node ids


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


def lasting(receiver: ReceivingSide, node_id: int) -> list[Received]:
    """Receive messages without a header for more than three heartbeats."""
    items = receiver.receive_unnumbered([5], node_id=node_id)
    receiver.now += 3 * HEARTBEAT + 0.01
    return items + receiver.receive_unnumbered([6], node_id=node_id)


def test_unnumbered_duplicate_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert lasting(receiver, SENDER) == [5, DuplicateNodeId(SENDER), 6]
    assert receiver.receive_unnumbered([7]) == [7]
    assert receiver.receive(1, 1) == [1]


def test_unnumbered_own_id_is_reported() -> None:
    receiver = ReceivingSide()
    assert lasting(receiver, RECEIVER) == [DuplicateNodeId(RECEIVER)]
    assert lasting(receiver, RECEIVER) == []


def test_malformed_header_is_no_duplicate() -> None:
    receiver = ReceivingSide()
    for _ in range(2):
        assert receiver.receive_payload("malformed", payload([5], RECEIVER)) == []
        receiver.now += 3 * HEARTBEAT + 0.01
    assert receiver.watcher.duplicate_ids == []
    assert receiver.receiver.malformed == 2


def test_stray_unnumbered_message_is_delivered() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.receive_unnumbered([5]) == [5]
    assert receiver.watcher.duplicate_ids == []


# ------------------------------------------------------------------ peers without sequence headers


def test_stalwart_reaches_watcher() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    assert receiver.watcher.stalwart_received_at is None
    receiver.receive_unnumbered([1])
    assert receiver.watcher.stalwart_received_at == receiver.now


def test_unnumbered_peer_has_no_presence() -> None:
    receiver = ReceivingSide(peers=True)
    assert receiver.receive_unnumbered([1]) == [1]
    receiver.rules.tick(1000.0)
    assert receiver.taken() == []
