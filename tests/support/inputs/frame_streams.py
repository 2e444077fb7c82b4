"""Hypothesis strategies for streams of NATS frames, as a server sends them."""

from __future__ import annotations

from hypothesis import strategies as st

from support.oracles.sequence_header import write_number

WORDS = st.sampled_from([b"stwt.agora", b"a", b"_INBOX.x.1", b"\xff\x00", b"MSG", b"x" * 300])
NUMBERS = st.one_of(
    st.integers(0, 300),
    st.sampled_from([(1 << 64) - 1, 1 << 64, 10**20, (1 << 63), 18446744073709551609]),
    st.integers(0, 10**21),
)
PAYLOADS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\r\n", b"PING\r\n", b"MSG a 1 3\r\nabc\r\n"]),
    st.integers(0, 5000).map(lambda size: b"p" * size),
)
BLANKS = st.sampled_from([b" ", b" ", b" ", b"\t", b"  "])


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Draw a header block: with sequence headers, other headers, both, or none."""
    lines = [b"NATS/1.0" + draw(st.sampled_from([b"", b"", b" 503", b" 408 No Messages"]))]
    for _ in range(draw(st.integers(0, 3))):
        fields = ".".join(map(write_number, draw(_numbers)))
        sequence = f"{draw(_prefixes)}{fields}".encode()
        lines.append(
            draw(
                st.sampled_from(
                    [
                        b"F:" + sequence,
                        b"F:" + sequence,
                        b"F: \t " + sequence + b" \t",
                        b"F:" + sequence + b"+",
                        b"F:1ae1",
                        b"F:",
                        b"X-F: 1ae1.2",
                        b"Nats-Msg-Id: 7",
                    ]
                )
            )
        )
    ending = draw(st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\r\n", b"\n", b"\r", b""]))
    return b"\r\n".join(lines) + ending


_numbers = st.one_of(
    st.lists(st.integers(0, 1000), min_size=2, max_size=7), st.lists(NUMBERS, max_size=8)
)
_prefixes = st.sampled_from(
    ["1ae", "1be", "1ar", "1dg", "1ah", "1aw", "1bq", "1aa", "1ax", "2ae", "1Ae", "1", ""]
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw one MSG or HMSG frame as a server writes it."""
    payload = draw(PAYLOADS)
    words = [draw(WORDS), b"%d" % draw(st.integers(0, 100))]
    if draw(st.booleans()):
        words.append(draw(WORDS))
    block = draw(st.one_of(st.none(), headers()))
    sizes = [len(payload)] if block is None else [len(block), len(block) + len(payload)]
    verb = b"MSG" if block is None else b"HMSG"
    blank = draw(BLANKS)
    line = verb + b" " + blank.join([*words, *(b"%d" % size for size in sizes)])
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]))
    return line + end + (block or b"") + payload + b"\r\n"


CONTROL = st.sampled_from(
    [
        b"PING\r\n",
        b"PONG\r\n",
        b"+OK\r\n",
        b"-ERR\r\n",
        b"-ERR 'Maximum Payload Violation'\r\n",
        b'INFO {"server_id":"x","max_payload":1048576}\r\n',
        b"INFO " + b"x" * 6000 + b"\r\n",
        b"MSG\r\n",
        b"HMSGX 1 2\r\n",
        b"\r\n",
        b"\n",
    ]
)
STREAMS = st.lists(st.one_of(messages(), messages(), CONTROL), max_size=8).map(b"".join)
"""Streams that a server may send."""
