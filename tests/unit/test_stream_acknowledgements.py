"""The acknowledgements of a stream, as the parser passes them on."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fastcoord.nats.parser import Parser
from fastcoord.streaming.acknowledgements import Acknowledgements
from fastcoord.streaming.sender import describe_error
from fastcoord.streaming.stream_receiver import StreamReceiver
from fastcoord.wire.sealed_batch import SealedBatch

SID = 7


class Window:
    """Acknowledgements behind a parser."""

    def __init__(self) -> None:
        self.changes = 0
        self.acknowledgements = Acknowledgements(self._changed)
        receiver = StreamReceiver(
            node_id=1,
            incarnation=5,
            protocol="stalwart-0.16",
            deliver_own=False,
            rules=None,
            on_request=print,
        )
        receiver.acknowledgements = self.acknowledgements
        receiver.acknowledgements_sid = SID
        self._parser = Parser(receiver, lambda line: None, read_size=1 << 16)
        self._offset = 0

    def _changed(self) -> None:
        self.changes += 1

    def publish(self, *counts: int) -> int:
        """Add batches with these numbers of events; return the number of the first one."""
        batches = []
        for count in counts:
            batches.append(SealedBatch(b"\x01", self._offset, count))
            self._offset += count
        return self.acknowledgements.add(batches)

    def receive(self, number: object, body: bytes | str, header: bytes = b"") -> None:
        """Receive one message on the subject of an acknowledgement."""
        payload = body if isinstance(body, bytes) else body.encode()
        if header:
            line = f"HMSG _X.a.{number} {SID} {len(header)} {len(header) + len(payload)}"
        else:
            line = f"MSG _X.a.{number} {SID} {len(payload)}"
        self._parser.feed_bytes(line.encode() + b"\r\n" + header + payload + b"\r\n")

    def acknowledge(self, number: int, sequence: int, *, duplicate: bool = False) -> None:
        rest = ',"duplicate": true' if duplicate else ""
        self.receive(number, f'{{"stream":"AGORA","seq":{sequence}{rest}}}')


def test_acknowledgements_confirm_in_order() -> None:
    window = Window()
    assert window.publish(3, 2, 5) == 1
    for number, sequence, confirmed in ((1, 10, 3), (2, 14, 5), (3, 15, 10)):
        window.acknowledge(number, sequence)
        assert window.acknowledgements.confirmed == confirmed
        assert window.acknowledgements.sequence == sequence
    assert len(window.acknowledgements) == 0


def test_change_is_reported_once_until_seen() -> None:
    window = Window()
    window.publish(1, 1, 1)
    window.acknowledge(1, 1)
    window.acknowledge(2, 2)
    assert window.changes == 1
    window.acknowledgements.seen()
    window.acknowledge(3, 3)
    assert window.changes == 2


def test_early_acknowledgement_waits_for_first() -> None:
    window = Window()
    window.publish(1, 1, 1)
    window.acknowledge(2, 8)
    assert window.acknowledgements.has_gap
    assert window.acknowledgements.confirmed == 0
    window.acknowledge(1, 7)
    assert window.acknowledgements.confirmed == 2
    assert not window.acknowledgements.has_gap


def test_earlier_sequence_is_misplaced() -> None:
    window = Window()
    window.publish(1, 1)
    window.acknowledge(2, 5)
    window.acknowledge(1, 6)
    assert window.acknowledgements.is_misplaced
    assert window.acknowledgements.confirmed == 1


def test_duplicate_with_earlier_sequence_is_misplaced() -> None:
    window = Window()
    window.publish(1)
    window.acknowledge(1, 9)
    window.publish(1)
    window.acknowledge(2, 4, duplicate=True)
    assert window.acknowledgements.is_misplaced
    assert window.acknowledgements.duplicates == 1


def test_sequences_of_new_stream_are_accepted() -> None:
    window = Window()
    window.publish(1)
    window.acknowledge(1, 900)
    for sequence, is_misplaced in ((1, True), (2, False)):
        number = window.publish(1)
        window.acknowledge(number, sequence)
        assert window.acknowledgements.is_misplaced is is_misplaced
        window.acknowledgements.restart()
    assert window.acknowledgements.sequence == 2


def test_old_numbers_are_ignored() -> None:
    window = Window()
    window.publish(1, 1)
    window.acknowledgements.restart()
    assert window.publish(1) == 3
    window.acknowledge(1, 5)
    window.acknowledge(9, 5)
    assert window.acknowledgements.confirmed == 0
    assert window.changes == 0


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"", b"NATS/1.0 503\r\n\r\n"),
        (b'{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"S","seq":0}', b""),
        (b'{"stream":"S","seq":0}', b""),
        (b'{"stream":"S","seq":-1}', b""),
        (b'{"stream":"S"}', b""),
        (b'{"stream":"S","seq":"many"}', b""),
        (b"[1]", b""),
        (b"\xff\xfe", b""),
        (b'{"error":{"description":"\xff"}}', b""),
        (b'{"stream":"AGORA","seq":5', b""),
        (b'{"stream":"S","seq":1e400}', b""),
        (b'{"stream":"S","seq":%d}' % (1 << 64), b""),
        pytest.param(b"[" * 100_000, b"", id="nested"),
    ],
)
def test_unusable_acknowledgement_is_an_error(body: bytes, header: bytes) -> None:
    window = Window()
    window.publish(1, 1)
    window.acknowledge(1, 4)
    window.receive(2, body, header)
    assert window.acknowledgements.error == body
    assert window.acknowledgements.confirmed == 1
    assert describe_error(body, str)


@pytest.mark.parametrize("number", ["", "x", "1x", "-1", str(1 << 70)])
def test_malformed_number_is_ignored(number: str) -> None:
    window = Window()
    window.publish(1)
    window.receive(number, '{"stream":"AGORA","seq":5}')
    assert window.changes == 0


@pytest.mark.parametrize(
    "body",
    [
        '{"stream":"AGORA","domain":"hub","seq":7}',
        '{"stream":"AGORA", "seq": 7}',
        '{"seq":7,"stream":"AGORA"}',
    ],
)
def test_other_forms_are_read(body: str) -> None:
    window = Window()
    window.publish(1, 1)
    window.receive(1, body)
    window.receive(2, body.replace("7", "8"))
    assert window.acknowledgements.confirmed == 2
    assert window.acknowledgements.sequence == 8


def test_many_batches_are_kept() -> None:
    window = Window()
    window.publish(*[1] * 5000)
    for number in range(5000, 0, -1):
        window.acknowledge(number, number)
    assert window.acknowledgements.confirmed == 5000


def test_random_orders_confirm_what_is_stored_in_order() -> None:

    for seed in range(200):
        chance = random.Random(seed)
        window = Window()
        count = chance.randrange(1, 30)
        window.publish(*[1] * count)
        numbers = list(range(1, count + 1))
        sequences: dict[int, int] = {}
        stored = chance.sample(numbers, chance.randrange(count + 1))
        if chance.random() < 0.7:
            stored.sort()
        for sequence, number in enumerate(stored, 1):
            sequences[number] = sequence
        for number in chance.sample(stored, len(stored)):
            window.acknowledge(number, sequences[number])
        expected, last = 0, 0
        while sequences.get(expected + 1, 0) > last:
            expected += 1
            last = sequences[expected]
        acknowledgements: Any = window.acknowledgements
        assert acknowledgements.confirmed == expected, seed
        assert acknowledgements.is_misplaced is (
            expected < count and 0 < sequences.get(expected + 1, 0) < last
        ), seed
