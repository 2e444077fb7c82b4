"""The parser and the reference agree on messages, lines and errors, for any stream and reads."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastcoord.nats.frames import compose
from fastcoord.wire.sealed_batch import SealedBatch
from support.inputs.frame_streams import CONTROL, STREAMS, headers, messages
from support.oracles.frames import (
    MAX_PAYLOAD,
    Message,
    ParserRun,
    Stream,
    by_parser,
    by_reference,
    in_reads_of,
    read_header,
)
from support.receiving import messages as parsed

READ_SIZES = st.one_of(st.integers(1, 40), st.sampled_from([4096, 65535]))
U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)


CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)
"""Where a stream is cut into reads, modulo its size."""


def cut_at(places: list[int], stream: bytes) -> list[bytes]:
    cuts = sorted(place % (len(stream) + 1) for place in places)
    return [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]


@settings(max_examples=4 * settings().max_examples)
@given(stream=STREAMS, read_size=READ_SIZES, cuts=CUTS)
def test_valid_stream_matches_reference(stream: bytes, read_size: int, cuts: list[int]) -> None:
    expected = by_reference([stream])
    assert not expected[1]
    assert by_parser(in_reads_of(read_size, stream), read_size) == expected
    assert by_parser(cut_at(cuts, stream), max(1, len(stream))) == expected


CHANGES = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.sampled_from(b" \t\r\n019.MH\xff:")),
    min_size=1,
    max_size=4,
)


@settings(max_examples=2 * settings().max_examples)
@given(
    stream=STREAMS,
    # Streams take longer to draw than changes.
    damages=st.lists(CHANGES, min_size=1, max_size=6),
    read_size=READ_SIZES,
    cuts=CUTS,
)
@example(stream=b"-ERR\r\n", damages=[[(5, 32)]], read_size=1, cuts=[])
@example(
    stream=b"HMSG a 0 13 13\r\nNATS/1.0\r\nF:\n\r\n",
    damages=[[(0, ord("H"))]],
    read_size=1,
    cuts=[],
)
def test_damaged_stream_matches_reference(
    stream: bytes, damages: list[list[tuple[int, int]]], read_size: int, cuts: list[int]
) -> None:
    for changes in damages:
        changed = bytearray(stream or b"\n")
        for place, value in changes:
            changed[place % len(changed)] = value
        damaged = bytes(changed)
        expected = by_reference([damaged])
        assert by_parser(in_reads_of(read_size, damaged), read_size) == expected
        assert by_parser(cut_at(cuts, damaged), len(damaged)) == expected


@settings(max_examples=4 * settings().max_examples)
@given(stream=st.binary(max_size=200), read_size=st.integers(1, 50))
def test_random_bytes_parse_alike(stream: bytes, read_size: int) -> None:
    assert by_parser(in_reads_of(read_size, stream), read_size) == by_reference([stream])


@given(
    start=st.sampled_from([b"MSG ", b"HMSG ", b"MSX ", b"INFO ", b"H", b"-ERR "]),
    size=st.one_of(st.integers(4080, 4110), st.integers((1 << 20) - 20, (1 << 20) + 20)),
    end=st.sampled_from([b" 1 0\r\n\r\n", b"\n", b""]),
    read_size=st.sampled_from([1000, 4096, 4097, 65535, 1 << 21]),
)
def test_line_limit_ignores_reads(start: bytes, size: int, end: bytes, read_size: int) -> None:
    stream = start + b"x" * (size - len(start) - len(end)) + end
    assert by_parser(in_reads_of(read_size, stream), read_size) == by_reference([stream])


@settings(max_examples=5 * settings().max_examples)
@given(headers())
def test_header_block_matches_reference(block: bytes) -> None:
    assert parsed.read_header(block) == read_header(block)


@given(
    batches=st.lists(st.tuples(st.binary(max_size=100), U64, U32), max_size=5),
    incarnation=U64,
    discarded=U64,
    connection=U32,
    silence=U32,
    note=st.sampled_from([None, "resend", "goodbye", "hello", "who", "progress", "answer"]),
    ping=st.booleans(),
    read_size=st.integers(1, 100),
)
def test_composed_frames_parse_back(
    batches: list[tuple[bytes, int, int]],
    incarnation: int,
    discarded: int,
    connection: int,
    silence: int,
    note: str | None,
    ping: bool,
    read_size: int,
) -> None:
    sealed = [SealedBatch(payload, offset, count) for payload, offset, count in batches]
    frames = compose(
        b"stwt.agora",
        0,
        incarnation,
        discarded,
        sealed,
        connection=connection,
        silence=silence,
        note=note,
        ping=ping,
    )
    # A server forwards the message with the receiver's subscription id in its line.
    stream = frames.replace(b"HPUB stwt.agora ", b"HMSG stwt.agora 7 ")
    out, is_broken = by_parser(in_reads_of(read_size, stream), read_size)
    assert not is_broken
    expected: list[Message | bytes] = [
        Message(
            7,
            b"",
            (incarnation, offset, count, discarded, connection, silence)
            if offset + count < 1 << 64
            else "malformed",
            payload,
        )
        for payload, offset, count in batches
    ]
    assert out == expected + ([b"PING\r\n"] if ping else [])


@given(
    st.lists(st.one_of(messages(), CONTROL), min_size=1, max_size=5).map(b"".join),
    st.integers(1, 100),
    st.floats(0, 1),
)
def test_parser_holds_only_unfinished_frame(stream: bytes, read_size: int, cut: float) -> None:
    stream = stream[: round(cut * len(stream))]
    run = ParserRun(read_size)
    reference = Stream(MAX_PAYLOAD)
    for read in in_reads_of(read_size, stream):
        run.read(read)
        reference.feed(read)
    expected = [*reference.out, reference.rest] if reference.rest else reference.out
    run.parser.release()
    assert run.out == expected
