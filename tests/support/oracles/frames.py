"""A slow and simple parser of the NATS protocol: the oracle for the compiled parser.

``by_reference`` and ``by_parser`` run the oracle and the compiled parser on the same stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastcoord.nats.parser import FrameError, Parser
from support.oracles.sequence_header import SequenceHeader, read_header
from support.receiving.messages import Collector

LONGEST_MESSAGE_LINE = 4096
LONGEST_CONTROL_LINE = 1 << 20
U64 = 1 << 64


class BrokenProtocolError(Exception):
    """The data is not the NATS protocol."""


class Message(NamedTuple):
    sid: int
    reply: bytes
    sequence: SequenceHeader
    payload: bytes


class Stream:
    """Parses data in chunks of any size.

    :ivar out: messages, and control lines as bytes, in order.
    """

    def __init__(self, max_payload: int) -> None:
        self.out: list[Message | bytes] = []
        self.rest = b""
        self._max_payload = max_payload

    def feed(self, data: bytes) -> None:
        self.rest += data
        while self._take_one():
            pass

    def _take_one(self) -> bool:
        line, newline, behind = self.rest.partition(b"\n")
        longest = LONGEST_MESSAGE_LINE if line[:1] in (b"M", b"H") else LONGEST_CONTROL_LINE
        if len(line) > longest:
            raise BrokenProtocolError("a line that does not end")
        if not newline:
            return False
        if not line.startswith((b"MSG ", b"HMSG ")):
            self.out.append(line + newline)
            self.rest = behind
            return True
        reply, sid, header_size, total = read_message_line(line.removesuffix(b"\r"))
        if total > self._max_payload or header_size > total:
            raise BrokenProtocolError("a message with sizes that cannot be")
        if len(behind) < total + 2:
            return False
        if behind[total : total + 2] != b"\r\n":
            raise BrokenProtocolError("a message that does not end where it should")
        sequence = read_header(behind[:header_size])
        self.out.append(Message(sid, reply, sequence, behind[header_size:total]))
        self.rest = behind[total + 2 :]
        return True


def read_message_line(line: bytes) -> tuple[bytes, int, int, int]:
    """Parse ``MSG subject sid [reply] size`` or ``HMSG subject sid [reply] header-size size``.

    :return: the reply subject, the sid, the size of the header block and the total size.
    """
    if line.endswith((b" ", b"\t")):
        raise BrokenProtocolError("a message line that ends in a blank")
    verb, *words = re.split(rb"[ \t]+", line)
    numbers = [words.pop()] if words else []
    if verb == b"HMSG":
        numbers = [words.pop() if words else b"", *numbers]
    if len(words) not in (2, 3):
        raise BrokenProtocolError("a message line with too few or too many words")
    reply = words[2] if len(words) == 3 else b""
    sid, *sizes = (read_number(word) for word in (words[1], *numbers))
    return reply, sid, sizes[0] if verb == b"HMSG" else 0, sizes[-1]


def read_number(word: bytes) -> int:
    if not re.fullmatch(rb"[0-9]+", word):
        raise BrokenProtocolError(f"{word!r} is no number")
    digits = word.lstrip(b"0") or b"0"
    if len(digits) > 20 or int(digits) >= U64:
        raise BrokenProtocolError(f"{word!r} is too large a number")
    return int(digits)


MAX_PAYLOAD = 1 << 16

Out = list[Message | bytes]


def in_reads_of(size: int, stream: bytes) -> Iterator[bytes]:
    """Cut a stream into reads of the same size."""
    for start in range(0, len(stream), size):
        yield stream[start : start + size]


def by_reference(reads: Iterable[bytes]) -> tuple[Out, bool]:
    """Parse a stream with the oracle.

    :return: messages and control lines, and whether the stream breaks the protocol.
    """
    reference = Stream(MAX_PAYLOAD)
    try:
        for read in reads:
            reference.feed(read)
    except BrokenProtocolError:
        return reference.out, True
    return reference.out, False


class ParserRun:
    """The compiled parser, used as a connection does: read into its buffer, then feed the size."""

    def __init__(self, read_size: int, max_payload: int = MAX_PAYLOAD) -> None:
        self.collector = Collector()
        self._lines: list[tuple[int, bytes]] = []
        self.parser = Parser(
            self.collector, self._control, read_size=read_size, max_payload=max_payload
        )

    def _control(self, line: bytes) -> None:
        self._lines.append((len(self.collector.messages), line))

    def read(self, data: bytes) -> None:
        with memoryview(self.parser) as lent:
            lent[: len(data)] = data
            self.parser.feed(len(data))

    @property
    def out(self) -> Out:
        """Messages and control lines in the order in which they were parsed."""
        out: Out = [Message(*message) for message in self.collector.messages]
        for place, line in reversed(self._lines):
            out.insert(place, line)
        return out


def by_parser(reads: Iterable[bytes], read_size: int) -> tuple[Out, bool]:
    """Parse a stream with the compiled parser.

    :return: messages and control lines, and whether the stream breaks the protocol.
    """
    run = ParserRun(read_size)
    try:
        for read in reads:
            run.read(read)
    except FrameError:
        return run.out, True
    return run.out, False
