"""Questions and answers as bytes, as another node or a forger sends them."""

from __future__ import annotations

from fastcoord.config import PROTOCOLS
from fastcoord.presence.question_line import write_line, write_number

__all__ = ["header", "hmsg", "who"]

INCARNATION = 7
"""The run of the node that asks."""


def header(
    note: str,
    question: bytes,
    *,
    incarnation: int = INCARNATION,
    offset: int = 0,
    protocol: str = "stalwart-0.15",
) -> bytes:
    """Return the header block of an empty batch with a question line."""
    letter = chr(ord("a") + PROTOCOLS.index(protocol))
    numbers = b".".join(write_number(number) for number in (incarnation, offset, 0))
    return f"NATS/1.0\r\nF:1{letter}{note}".encode() + numbers + b"\r\nQ:" + question + b"\r\n\r\n"


def who(
    node_id: int, *, token: bytes = b"0", sender: int = 2, protocol: str = "stalwart-0.15"
) -> tuple[bytes, bytes]:
    """Return header block and payload of a question to a node.

    :param sender: the node that asks, below 128.
    """
    line = token + b"." + write_line([node_id])
    return header("w", line, protocol=protocol), bytes([sender])


def hmsg(sid: int, subject: bytes, reply: bytes, block: bytes, payload: bytes) -> bytes:
    """Return a message with headers as a server sends it."""
    sizes = b"%d %d" % (len(block), len(block) + len(payload))
    words = [b"HMSG", subject, b"%d" % sid, *([reply] if reply else []), sizes]
    return b" ".join(words) + b"\r\n" + block + payload + b"\r\n"
