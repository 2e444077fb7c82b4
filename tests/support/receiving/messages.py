"""Delivering messages to a sink through the parser, and a sink that collects messages."""

from __future__ import annotations

from fastcoord.nats.parser import MessageSink, Parser
from support.oracles.sequence_header import write_header

Numbers = tuple[int, ...] | str | None
"""``(incarnation, offset, count, discarded, connection, silence)``, of which the last ones may be
omitted; ``None`` without a header, or ``"malformed"``."""


class Collector(MessageSink):
    """A sink that collects messages as tuples ``(sid, reply, numbers, payload)``."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes, Numbers, bytes]] = []

    def take(self, sid: int, reply: bytes, numbers: Numbers, payload: bytes) -> None:
        self.messages.append((sid, reply, numbers, payload))


def deliver(
    sink: MessageSink,
    sid: int,
    payload: bytes,
    numbers: Numbers = None,
    *,
    note: str | None = None,
    reply: bytes = b"",
    question: str = "",
) -> None:
    """Pass one message through a parser to a sink."""
    frame = frame_of(sid, payload, numbers, note=note, reply=reply, question=question)
    parser = Parser(sink, _unexpected, read_size=len(frame))
    parser.feed_bytes(frame)


def frame_of(
    sid: int,
    payload: bytes,
    numbers: Numbers = None,
    *,
    note: str | None = None,
    reply: bytes = b"",
    question: str = "",
) -> bytes:
    """Return the bytes of one message as the server sends it."""
    block = b""
    if numbers is not None:
        value = "." if isinstance(numbers, str) else write_header(*numbers, note=note)
        line = f"\r\nQ:{question}" if question else ""
        block = f"NATS/1.0\r\nF:{value}{line}\r\n\r\n".encode()
    words = [b"HMSG" if block else b"MSG", b"subject", b"%d" % sid, *([reply] if reply else [])]
    words += [b"%d" % len(block)] if block else []
    return b" ".join([*words, b"%d" % len(block + payload)]) + b"\r\n" + block + payload + b"\r\n"


def read_header(block: bytes) -> Numbers:
    """Return the sequence header that the parser reads in a header block."""
    collector = Collector()
    frame = b"HMSG subject 1 %d %d\r\n" % (len(block), len(block)) + block + b"\r\n"
    Parser(collector, _unexpected, read_size=len(frame)).feed_bytes(frame)
    return collector.messages[0][2]


def _unexpected(line: bytes) -> None:
    raise AssertionError(f"an unexpected control line: {line!r}")
