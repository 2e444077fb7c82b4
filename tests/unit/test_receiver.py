"""The receiver in small cases: routing of messages, delivery to rings, counters."""

from __future__ import annotations

from typing import Any

import pytest

import fastcoord
from fastcoord import Missed, PeerUp, StateChange
from fastcoord.receiving.receiver import Receiver
from fastcoord.receiving.ring import Ring
from support.oracles.sequence_header import write_header
from support.receiving.messages import deliver
from support.receiving.receiving_side import (
    INCARNATION,
    PROTOCOL,
    RECEIVER,
    SENDER,
    ReceivingSide,
    payload,
)


def test_other_sid_is_request() -> None:
    requests: list[tuple[int, bytes, bytes]] = []
    receiver = Receiver(
        node_id=1,
        incarnation=1,
        protocol=PROTOCOL,
        deliver_own=False,
        rules=None,
        on_request=lambda *request: requests.append(request),
    )
    receiver.events_sid = 1
    deliver(receiver, 2, b"anything \xff", reply=b"reply")
    assert requests == [(2, b"reply", b"anything \xff")]
    assert (receiver.received_batches, receiver.malformed) == (0, 0)


def asked_receiver() -> tuple[ReceivingSide, list[tuple[Any, ...]]]:
    questions: list[tuple[Any, ...]] = []
    receiver = ReceivingSide(on_question=lambda *question: questions.append(question))
    receiver.receiver.presence_sid = 2
    receiver.receiver.reply_sid = 3
    return receiver, questions


@pytest.mark.parametrize(
    ("note", "sid"), [("who", 2), ("progress", 2), ("hello", 2), ("answer", 3)]
)
def test_question_keeps_header_block(note: str, sid: int) -> None:
    receiver, questions = asked_receiver()
    numbers = (INCARNATION, 4, 0, 3, 2, 1)
    deliver(receiver.receiver, sid, payload([]), numbers, note=note, reply=b"here", question="A.7")
    block = f"NATS/1.0\r\nF:{write_header(*numbers, note=note)}\r\nQ:A.7\r\n\r\n".encode()
    assert questions == [(note, SENDER, INCARNATION, 4, 3, 2, b"here", block)]


def test_events_subject_may_carry_questions() -> None:
    receiver, questions = asked_receiver()
    deliver(receiver.receiver, 1, payload([]), (INCARNATION, 4, 0, 0), note="who", reply=b"here")
    assert [question[0] for question in questions] == ["who"]
    assert SENDER not in receiver.receiver.peers


def test_own_question_is_ignored() -> None:
    receiver, questions = asked_receiver()
    content = payload([], node_id=RECEIVER)
    deliver(receiver.receiver, 2, content, (INCARNATION, 0, 0, 0), note="who", reply=b"here")
    assert questions == []


@pytest.mark.parametrize("numbers", [None, "malformed", (INCARNATION, 0, 1, 0)])
def test_presence_carries_no_events(numbers: tuple[int, ...] | str | None) -> None:
    receiver, questions = asked_receiver()
    deliver(receiver.receiver, 2, payload([1]), numbers)
    deliver(receiver.receiver, 2, b"", (INCARNATION, 0, 0, 0))
    assert (receiver.taken(), questions, receiver.receiver.peers) == ([], [], {})


def test_request_error_propagates() -> None:
    def refuse(*request: Any) -> None:
        raise LookupError("request")

    receiver = Receiver(
        node_id=1,
        incarnation=1,
        protocol=PROTOCOL,
        deliver_own=False,
        rules=None,
        on_request=refuse,
    )
    with pytest.raises(LookupError, match="request"):
        deliver(receiver, 2, b"")


def test_rings_share_message_object() -> None:
    receiver = ReceivingSide()
    rings = [Ring(10, 1000) for _ in range(3)]
    for ring in rings:
        receiver.receiver.add_ring(ring)
    receiver.receive(0, 1)
    taken = [[ring.take_next(), ring.take_next()] for ring in rings]
    assert taken[0] == taken[1] == taken[2]
    assert taken[0][0] == PeerUp(SENDER)
    assert taken[0][1][0] is taken[1][1][0] is taken[2][1][0]


def test_removed_ring_gets_nothing() -> None:
    receiver = ReceivingSide()
    first, second = Ring(10, 1000), Ring(10, 1000)
    receiver.receiver.add_ring(first)
    receiver.receiver.add_ring(second)
    receiver.receiver.remove_ring(first)
    receiver.receiver.remove_ring(first)
    receiver.receive(0, 1)
    assert (first.arrived, second.arrived) == (0, 1)


def test_unsubscribed_messages_are_counted() -> None:
    receiver = ReceivingSide()
    receiver.receiver.remove_ring(receiver.ring)
    receiver.receive(0, 2)
    receiver.receive(5, 1)
    assert receiver.receiver.received == 3
    assert receiver.receiver.peers[SENDER].received == 3
    assert receiver.watcher.losses == [Missed(SENDER, 3, "gap")]


def test_message_has_receive_time() -> None:
    receiver = ReceivingSide()
    receiver.receiver.received_at = 1234.5
    deliver(receiver.receiver, 1, payload([3]))
    batch = receiver.cursor.take_batch()
    assert isinstance(batch, fastcoord.Batch)
    assert (batch.node_id, batch.received_at, tuple(batch)) == (
        SENDER,
        1234.5,
        (StateChange(3, 3, 1),),
    )


def test_every_batch_is_counted() -> None:
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receive(0, 1)
    receiver.receive(0, 1, note="resend")
    receiver.receive_payload(None, b"")
    receiver.receive(0, 1, node_id=RECEIVER)
    counts = receiver.receiver
    assert counts.received_batches == 5
    assert counts.received_bytes == 4 * len(payload([0]))
    assert (counts.received, counts.duplicates, counts.late) == (1, 1, 1)
    assert (counts.malformed, counts.echoes) == (1, 1)


def test_both_paths_count_alike() -> None:
    steady, judged = ReceivingSide(), ReceivingSide()
    for offset in range(20):
        steady.receive(offset, 1)
        if SENDER in judged.receiver.peers:
            judged.receiver.peers[SENDER].steady = False
        judged.receive(offset, 1)
    for receiver in (steady, judged):
        peer = receiver.receiver.peers[SENDER]
        assert (peer.received, peer.expected, receiver.receiver.received) == (20, 20, 20)
    assert steady.ring.arrived == judged.ring.arrived == 20


@pytest.mark.parametrize("skipped", range(6))
def test_overlap_puts_only_new(skipped: int) -> None:
    receiver = ReceivingSide()
    receiver.receive(0, skipped)
    receiver.receive(skipped, 0)
    content = payload(range(6))
    deliver(receiver.receiver, 1, content, (INCARNATION, 0, 6, 0), note="resend")
    assert receiver.taken() == list(range(skipped, 6))


def test_empty_batch_is_not_put() -> None:
    receiver = ReceivingSide()
    receiver.receive_unnumbered([])
    receiver.receive(0, 0, node_id=9)
    assert (receiver.ring.arrived, len(receiver.ring)) == (0, 0)


def test_receiver_reads_given_protocol() -> None:
    receiver = ReceivingSide()
    newer = fastcoord.encode_batch(
        [fastcoord.QueueRefresh()], node_id=SENDER, protocol="stalwart-0.16"
    )
    assert receiver.receive_payload(None, newer) == [Missed(SENDER, None, "undecodable")]


def test_failing_rules_cost_one_message() -> None:
    class Failing:
        def without_header(self, *arguments: Any) -> Any:
            raise LookupError("rules")

    receiver = ReceivingSide()
    broken = Receiver(
        node_id=1,
        incarnation=1,
        protocol=PROTOCOL,
        deliver_own=False,
        rules=Failing(),
        on_request=print,
    )
    broken.events_sid = 1
    broken.add_ring(receiver.ring)
    with pytest.raises(LookupError, match="rules"):
        deliver(broken, 1, payload([1]))
    assert receiver.ring.arrived == 0
    assert receiver.receive(0, 1) == [Missed(None, None, "overflow"), 0]


def test_every_node_id_is_tracked() -> None:
    receiver = ReceivingSide()
    for node_id in (0, 127, 128, 16383, 16384, 65535):
        assert receiver.receive(0, 1, node_id=node_id) == [0]
    assert sorted(receiver.receiver.peers) == [0, 127, 128, 16383, 16384, 65535]
