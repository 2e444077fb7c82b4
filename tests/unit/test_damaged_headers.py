"""Damaged headers neither block a sender nor hide a loss: each case is a sequence of batches."""

from __future__ import annotations

import pytest

from fastcoord import Missed
from support.receiving.receiving_side import INCARNATION, SENDER, ReceivingSide, payload

OTHER = INCARNATION + 1


def gap(events: int | None) -> Missed:
    return Missed(SENDER, events, "gap")


def undecodable(events: int | None) -> Missed:
    return Missed(SENDER, events, "undecodable")


# -------------------------------------------------------------------------------- damaged numbers


def test_damaged_offset_costs_one_notice() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_payload((INCARNATION, 1 << 40, 1, 0), payload([1]))
    assert receiver.receive(2, 1) == [2]
    assert receiver.receive(3, 1) == [3]
    assert receiver.watcher.losses == [gap((1 << 40) - 1)]


def test_loss_after_damaged_offset_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_payload((INCARNATION, 1 << 40, 1, 0), payload([1]))
    assert receiver.receive(3, 0) == []
    assert receiver.receive(3, 1) == [gap(1), 3]


def test_heartbeats_reveal_loss_after_damage() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_payload((INCARNATION, 1 << 40, 1, 0), payload([1]))
    assert receiver.receive(4, 0) == []
    assert receiver.receive(4, 0) == [gap(2)]
    assert receiver.receive(4, 0) == []


def test_damaged_overlap_hides_no_repeat() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 8)
    assert receiver.receive_payload((INCARNATION, 7, 2, 0), payload([8, 9])) == [9]
    assert receiver.receive(8, 2) == []
    assert receiver.receive(10, 0) == [gap(1)]
    assert receiver.receive(10, 1) == [10]


def test_damaged_first_header_keeps_sender() -> None:
    receiver = ReceivingSide(settled=False)
    receiver.receive_payload((INCARNATION, 1 << 60, 1, 0), payload([0]))
    assert receiver.receive(1, 1) == []
    assert receiver.receive(2, 1) == [gap(1), 2]
    assert receiver.receive(3, 1) == [3]


def test_two_damaged_fields_keep_sender() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_payload((INCARNATION, 1 << 40, 1, 0), payload([1]))
    receiver.receive_payload((OTHER, 2, 1, 0), payload([2]))
    assert receiver.receive(3, 1) == []
    assert receiver.receive(4, 1) == [gap(2), 4]
    assert receiver.receive(5, 1) == [5]
    assert receiver.watcher.duplicate_ids == []


def test_consistent_damage_keeps_sender() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_payload((INCARNATION, 1000, 1, 0), payload([1]))
    receiver.receive_payload((INCARNATION, 9000, 1, 0), payload([2]))
    receiver.receive_payload((INCARNATION, 1002, 1, 0), payload([3]))
    assert receiver.receive(4, 1) == []
    assert receiver.receive(5, 1) == [gap(1), 5]


def test_loss_after_plausible_damage_is_reported() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive_payload((INCARNATION, 1001, 1, 0), payload([1]))
    receiver.receive_payload((INCARNATION, 1002, 1, 0), payload([2]))
    assert receiver.receive(4, 0) == []
    assert receiver.receive(4, 0) == [gap(None)]
    assert receiver.receive(4, 1) == [4]


def test_old_offset_survives_many_losses() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    for place in range(100):
        receiver.receive_payload((INCARNATION, (1 << 40) + 10 * place, 1, 0), payload([1]))
    assert receiver.receive(1, 1) == []
    assert receiver.receive(2, 1) == [gap(1), 2]


def test_incarnation_survives_many_damaged_ones() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(1, 1)
    for damaged in range(100):
        receiver.receive(2, 0, incarnation=1000 + damaged)
    assert receiver.receive(3, 1) == [gap(1), 3]


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


# ------------------------------------------------------------------------------ undecodable bytes


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


def test_undecodable_batch_keeps_sender() -> None:
    receiver = ReceivingSide()
    assert receiver.receive(0, 2, claimed=1 << 40, tail=b"\xff") == [
        0,
        1,
        undecodable((1 << 40) - 2),
    ]
    assert receiver.receive(3, 1) == []
    assert receiver.receive(4, 1) == [gap(1), 4]
    assert receiver.receive(5, 1) == [5]


def test_unnumbered_tail_has_unknown_size() -> None:
    assert ReceivingSide().receive_unnumbered([1], tail=b"\xff") == [1, undecodable(None)]


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"\x80"])
def test_message_without_sender_is_reported(content: bytes) -> None:
    receiver = ReceivingSide()
    assert receiver.receive_payload(None, content) == [Missed(None, None, "undecodable")]
    assert receiver.receiver.peers == {}
