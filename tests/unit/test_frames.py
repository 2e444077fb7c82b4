"""Frames in small cases: parsing, the exported buffer, composing."""

from __future__ import annotations

from typing import Any

import pytest

from fastcoord.nats.frames import HEADER_ALLOWANCE, compose
from fastcoord.nats.parser import FrameError, Parser
from fastcoord.receiving.receiver import Receiver
from fastcoord.receiving.verdict import Verdict
from fastcoord.wire.sealed_batch import SealedBatch
from support.oracles.frames import Message, ParserRun
from support.oracles.sequence_header import write_header
from support.receiving.messages import Collector, read_header

HEADER = b"NATS/1.0\r\nF:1ae1.2.3.4\r\n\r\n"
MOST = (1 << 64) - 1
MOST32 = (1 << 32) - 1


def hmsg(block: bytes, payload: bytes = b"", reply: bytes = b"") -> bytes:
    words = [b"HMSG", b"a", b"1", *([reply] if reply else [])]
    sizes = [b"%d" % len(block), b"%d" % (len(block) + len(payload))]
    return b" ".join([*words, *sizes]) + b"\r\n" + block + payload + b"\r\n"


def split(stream: bytes, **options: Any) -> list[Message | bytes]:
    run = ParserRun(max(1, len(stream)), **options)
    run.read(stream)
    return run.out


# ----------------------------------------------------------------------------------------- parsing


def test_messages_and_lines_keep_order() -> None:
    stream = b"PING\r\nMSG a 1 2\r\nhi\r\n+OK\r\n" + hmsg(HEADER, b"ho", b"reply") + b"-ERR\r\n"
    assert split(stream) == [
        b"PING\r\n",
        Message(1, b"", None, b"hi"),
        b"+OK\r\n",
        Message(1, b"reply", (1, 2, 3, 4, 0, 0), b"ho"),
        b"-ERR\r\n",
    ]


def test_payload_may_look_like_frames() -> None:
    payload = b"\r\nPING\r\nMSG a 1 2\r\nhi\r\n"
    assert split(b"MSG a 1 %d\r\n%b\r\n" % (len(payload), payload)) == [
        Message(1, b"", None, payload)
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"MSG \r\n",
        b"MSG a\r\n",
        b"MSG a 1\r\n",
        b"MSG a b c d 5\r\n",
        b"MSG a b c d e 5\r\n",
        b"MSG a x 5\r\n",
        b"MSG a 1 x\r\n",
        b"MSG a 1 5x\r\n",
        b"MSG a 1 -5\r\n",
        b"MSG a 1 5 \r\n",
        b"MSG a 1 18446744073709551616\r\n",
        b"MSG a 99999999999999999999999 5\r\n",
        b"MSG a 1 4097\r\n",
        b"HMSG a 1 5\r\n",
        b"HMSG a 1 x 5\r\n",
        b"HMSG a 1 6 5\r\n",
        b"HMSG a 1 18446744073709551615 18446744073709551615\r\n",
        b"HMSG a 1 r x 5 5\r\n",
        b"MSG a 1 2\r\nabc\r\n",
        b"MSG a 1 2\r\nab\n\r",
        b"M" * 4097,
        b"MSG " + b"a" * 5000 + b" 1 0\r\n\r\n",
        b"x" * ((1 << 20) + 1),
    ],
)
def test_broken_protocol_raises_clear_error(line: bytes) -> None:
    with pytest.raises(FrameError, match=r"message|line"):
        split(line, max_payload=4096)


def test_messages_before_error_are_delivered() -> None:
    run = ParserRun(100)
    with pytest.raises(FrameError):
        run.read(b"MSG a 1 2\r\nhi\r\nPING\r\nMSG a 1 x\r\n")
    assert run.out == [Message(1, b"", None, b"hi"), b"PING\r\n"]


def test_max_payload_is_exact_limit() -> None:
    assert len(split(b"MSG a 1 10\r\n0123456789\r\n", max_payload=10)) == 1
    with pytest.raises(FrameError, match="claims 11 bytes"):
        split(b"MSG a 1 11\r\n", max_payload=10)


def test_small_reads_build_large_message() -> None:
    payload = bytes(range(256)) * 400
    run = ParserRun(1000, max_payload=1 << 20)
    stream = b"MSG a 1 %d\r\n%b\r\nPING\r\n" % (len(payload), payload)
    for start in range(0, len(stream), 999):
        run.read(stream[start : start + 999])
    run.parser.release()
    assert run.out == [Message(1, b"", None, payload), b"PING\r\n"]


def test_lines_before_handshake_are_control() -> None:
    run = ParserRun(100)
    run.parser.is_bypassed = True
    run.read(b"INFO {}\r\nMSG a 1 ")
    run.read(b"2\r\nhi\r\n")
    assert run.out == [b"INFO {}\r\nMSG a 1 ", b"2\r\nhi\r\n"]
    run.parser.is_bypassed = False
    run.read(b"MSG a 1 2\r\nhi\r\n")
    assert run.out[2:] == [Message(1, b"", None, b"hi")]


def test_control_line_may_pause_messages() -> None:
    lines: list[bytes] = []

    def control(line: bytes) -> None:
        lines.append(line)
        parser.is_bypassed = True

    parser = Parser(Collector(), control, read_size=100)
    parser.feed_bytes(b"PING\r\nMSG a 1 2\r\nhi\r\n")
    parser.release()
    assert lines == [b"PING\r\n", b"MSG a 1 2\r\nhi\r\n"]


# ----------------------------------------------------------------------------- the exported buffer


def test_buffer_has_read_size() -> None:
    parser = Parser(Collector(), print, read_size=64)
    with memoryview(parser) as lent:
        assert len(lent) == 64
        assert not lent.readonly


def test_exported_buffer_does_not_move() -> None:
    parser = Parser(Collector(), print, read_size=64)
    lent = memoryview(parser)
    lent[:] = b"MSG a 1 1000\r\n" + b"x" * 50
    parser.feed(64)
    assert bytes(lent[:14]) == b"MSG a 1 1000\r\n"
    # The rest of the first allocation can be exported too, and nothing after it.
    another = memoryview(parser)
    another[:] = b"x" * 64
    parser.feed(64)
    with pytest.raises(BufferError, match="not released"):
        memoryview(parser)
    assert bytes(lent[:14]) == b"MSG a 1 1000\r\n"
    lent.release()
    another.release()
    memoryview(parser).release()


@pytest.mark.parametrize("size", [-1, 65])
def test_feed_beyond_buffer_is_refused(size: int) -> None:
    parser = Parser(Collector(), print, read_size=64)
    with pytest.raises(ValueError, match="do not fit"):
        parser.feed(size)


def test_zero_read_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Parser(Collector(), print, read_size=0)


def test_control_error_loses_no_data() -> None:
    lines: list[bytes] = []

    def control(line: bytes) -> None:
        lines.append(line)
        if line == b"PING\r\n":
            raise LookupError("control")

    parser = Parser(Collector(), control, read_size=100)
    with pytest.raises(LookupError, match="control"):
        parser.feed_bytes(b"PING\r\nPONG\r\n")
    parser.feed_bytes(b"+OK\r\n")
    assert lines == [b"PING\r\n", b"PONG\r\n", b"+OK\r\n"]


# ----------------------------------------------------------------------------- the sequence header


@pytest.mark.parametrize(
    ("block", "numbers"),
    [
        (HEADER, (1, 2, 3, 4, 0, 0)),
        (b"NATS/1.0\r\nX: y\r\nF:1ae1.2.3.4\r\n\r\n", (1, 2, 3, 4, 0, 0)),
        (b"NATS/1.0\r\nF:1ae1.2\r\n\r\n", (1, 2, 1, 0, 0, 0)),
        (b"NATS/1.0\r\nF:1be1.2.0\r\n\r\n", (1, 2, 0, 0, 0, 0)),
        (b"NATS/1.0\r\nF:1ae_.-.z.10.7\r\n\r\n", (63, 62, 61, 64, 7, 0)),
        (b"NATS/1.0\r\nF:1ae_.-.z.10.7.8.later\r\n\r\n", (63, 62, 61, 64, 7, 8)),
        (
            b"NATS/1.0\r\nF:1aw1.2.0.4.3_____.3_____\r\nQ:9.7\r\n\r\n",
            (1, 2, 0, 4, MOST32, MOST32),
        ),
        (b"NATS/1.0\r\nF:   1ae1.2.3.4 \t\r\n\r\n", (1, 2, 3, 4, 0, 0)),
        (b"NATS/1.0 503\r\n\r\n", None),
        (b"NATS/1.0\r\nX-F: 1ae1.2.3.4\r\n\r\n", None),
        (b"", None),
        (
            b"NATS/1.0\r\nF:%s\r\n\r\n" % write_header(MOST, MOST, 0, MOST).encode(),
            (MOST, MOST, 0, MOST, 0, 0),
        ),
    ],
)
def test_sequence_header_is_found_anywhere(block: bytes, numbers: tuple[int, ...] | None) -> None:
    assert read_header(block) == numbers


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1ae",
        "1ae1",
        "1ae1.",
        "1ae1.2.",
        "1ae1.2.3.",
        "1ae1.2.3.4+",
        "1ae1..3.4",
        "1ae1.2.3.4\n",
        "2ae1.2.3.4",
        "1Ae1.2.3.4",
        "1ax1.2.3.4",
        "a.b.c.d",
        "1aeG0000000000.2.3.4",
        write_header(1, MOST, 1),
        "1ae1.2.3.4.400000",
        "1ae1.2.3.4.5.400000",
        "1ae1.2.3.4.5.",
        "1ae1.2.3.4.5.6." + 30 * "z",
    ],
)
def test_malformed_sequence_header_is_detected(value: str) -> None:
    block = f"NATS/1.0\r\nF:{value}\r\n\r\n".encode()
    assert read_header(block) == "malformed"


# --------------------------------------------------------------------------------------- composing


def test_composed_frame_has_exact_bytes() -> None:
    frames = compose(b"a.b", 0, 1, 4, [SealedBatch(b"payload", 2, 3)])
    assert frames == (b"HPUB a.b 26 33\r\nNATS/1.0\r\nF:1ae1.2.3.4\r\n\r\npayload\r\n")


def test_composed_question_has_exact_bytes() -> None:
    frames = compose(
        b"a.b",
        0,
        1,
        0,
        [SealedBatch(b"\x07", 2, 0)],
        connection=3,
        silence=64,
        note="progress",
        reply=b"a.r",
        question=b"9.8",
    )
    block = b"NATS/1.0\r\nF:1aq1.2.0.0.3.10\r\nQ:9.8\r\n\r\n"
    size = len(block)
    assert frames == b"HPUB a.b a.r %d %d\r\n%b\x07\r\n" % (size, size + 1, block)


@pytest.mark.parametrize("discarded", [0, 5])
@pytest.mark.parametrize("connection", [0, 1, MOST32])
@pytest.mark.parametrize("silence", [0, 2000])
def test_composed_header_is_read_back(discarded: int, connection: int, silence: int) -> None:
    frames = compose(
        b"a",
        0,
        1,
        discarded,
        [SealedBatch(b"\x07", 2, 1)],
        connection=connection,
        silence=silence,
    )
    block = frames.partition(b"\r\n")[2][:-3]
    assert read_header(block) == (1, 2, 1, discarded, connection, silence)


def test_composing_nothing_gives_nothing() -> None:
    assert compose(b"a", 0, 1, 1, []) == b""
    assert compose(b"a", 0, 1, 1, [], ping=True) == b"PING\r\n"


@pytest.mark.parametrize("note", ["resend", "goodbye", "hello", None])
def test_note_reaches_rules(note: str | None) -> None:
    received: list[tuple[Any, ...]] = []

    class Judge:
        def with_header(self, *arguments: Any) -> Verdict:
            received.append(arguments)
            return Verdict()

    receiver = Receiver(
        node_id=1,
        incarnation=1,
        protocol="stalwart-0.15",
        deliver_own=False,
        rules=Judge(),
        on_request=print,
    )
    receiver.events_sid = 7
    frames = compose(
        b"a", 0, 5, 1, [SealedBatch(b"\x09", 2, 0)], connection=3, silence=4, note=note
    )
    parser = Parser(receiver, print, read_size=100)
    parser.feed_bytes(frames.replace(b"HPUB a ", b"HMSG a 7 "))
    assert received == [(9, 5, 2, 0, 1, 3, 4, 0, True, note)]


def test_unknown_note_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown note 'farewell'"):
        compose(b"a", 0, 1, 1, [SealedBatch(b"", 0, 0)], note="farewell")


def test_composing_non_batch_is_refused() -> None:
    with pytest.raises(TypeError):
        compose(b"a", 0, 1, 1, [(b"", 0, 0)])  # type: ignore[list-item]


def test_largest_header_fits_allowance() -> None:
    batch = SealedBatch(b"", MOST, (1 << 32) - 1)
    for note in ("resend", "goodbye", "hello"):
        frames = compose(b"a", 0, MOST, MOST, [batch], connection=MOST32, silence=MOST32, note=note)
        header_size = int(frames.split(b" ", 3)[2])
        assert header_size <= HEADER_ALLOWANCE
