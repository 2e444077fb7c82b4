"""The parser as a fuzz target: the parser gets a stream in reads, the reference at once.

The first byte of an input selects the size of a read, the others are the data of a server. The
same bytes are also parsed as a header block.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

from support.oracles.frames import Message, by_parser, by_reference, in_reads_of, read_header
from support.receiving import messages

READ_SIZES = (1, 2, 3, 5, 7, 16, 33, 64, 100, 255, 1000, 4096, 65535)

HEADER = b"NATS/1.0\r\nF:1aeC.5P.6.7\r\n\r\n"
QUESTION = b"NATS/1.0\r\nF:1aqC.5P.0.7.2.4xx\r\nQ:A.7.2\r\n\r\n"
LARGE_CONNECTION = b"NATS/1.0\r\nF:1ae1.2.3.4.40000000\r\n\r\n"
NOTED = b"NATS/1.0\r\nF:1ar1.2.0.4\r\n\r\n"
FOREIGN = b"NATS/1.0 503\r\nX: y\r\nF:\t1de9.8.7 \t\r\n\r\n"


class ParserTarget:
    """``Parser`` and the sequence header."""

    tokens: Sequence[bytes] = (
        b"MSG ",
        b"HMSG ",
        b"MSG a 1 2\r\nhi\r\n",
        b"PING\r\n",
        b"-ERR\r\n",
        b"\r\n",
        b"\n",
        b" ",
        b"\t",
        b"F:",
        b"F: ",
        b"1ag",
        b"1aw",
        b"1aq",
        b"1aa",
        b"3_____",
        b"400000",
        b"NATS/1.0\r\n",
        b"18446744073709551615",
        b"18446744073709551616",
        b"9223372036854775807",
        b"65536",
        b"65537",
        b"00000000000000000000001",
    )

    def seeds(self) -> list[bytes]:
        streams = [
            b"",
            HEADER,
            NOTED,
            QUESTION,
            LARGE_CONNECTION,
            FOREIGN,
            b"INFO {\"max_payload\":1048576}\r\nPING\r\nPONG\r\n+OK\r\n-ERR 'x'\r\n",
            b"MSG stwt.agora 1 5\r\nhello\r\nMSG a 2 _INBOX.x 0\r\n\r\n",
            *(
                _message(b"a", 7, reply, block, b"\x07\x05")
                for reply in (b"", b"r")
                for block in BLOCKS
            ),
        ]
        return [bytes([size]) + stream for size in (0, 4, 12) for stream in streams]

    def generate(self, chance: random.Random) -> bytes:
        frames = []
        for _ in range(chance.randint(1, 6)):
            if chance.random() < 0.3:
                frames.append(
                    chance.choice((b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'x'\r\n"))
                )
            else:
                frames.append(
                    _message(
                        chance.choice((b"a", b"stwt.agora")),
                        chance.getrandbits(chance.randint(1, 64)),
                        chance.choice((b"", b"_INBOX.1")),
                        chance.choice(BLOCKS),
                        chance.randbytes(chance.randint(0, 30)),
                    )
                )
        return bytes([chance.randrange(len(READ_SIZES))]) + b"".join(frames)

    def run(self, data: bytes) -> Hashable:
        size = READ_SIZES[data[0] % len(READ_SIZES)] if data else 1
        stream = data[1:]
        out, is_broken = expected = by_reference([stream])
        found = by_parser(in_reads_of(size, stream), size)
        assert found == expected, (
            f"reads of {size} of {stream!r}:\n  the reference: {expected}\n  fastcoord:     {found}"
        )
        block = read_header(stream)
        numbers = messages.read_header(stream)
        assert numbers == block, f"{stream!r}: {numbers}, the reference reads {block}"
        kinds = tuple(sorted({_kind(each) for each in out}))
        return is_broken, kinds, len(out).bit_length(), type(block)


VERBS = ("PING", "PONG", "+OK", "-ERR", "INFO")
BLOCKS = (None, HEADER, NOTED, FOREIGN, b"NATS/1.0\r\n\r\n")


def _message(subject: bytes, sid: int, reply: bytes, block: bytes | None, payload: bytes) -> bytes:
    words = [b"MSG" if block is None else b"HMSG", subject, b"%d" % sid]
    words += [reply] if reply else []
    words += [] if block is None else [b"%d" % len(block)]
    body = (block or b"") + payload
    return b" ".join([*words, b"%d" % len(body)]) + b"\r\n" + body + b"\r\n"


def _kind(each: Message | bytes) -> str:
    if isinstance(each, bytes):
        # There are endless mutated lines; they all count as one outcome.
        return next((verb for verb in VERBS if each.startswith(verb.encode())), "another line")
    sequence = "numbered" if isinstance(each.sequence, tuple) else str(each.sequence)
    return f"{sequence} {bool(each.reply)} {bool(each.payload)}"
