"""The header line ``Q`` of questions and answers: numbers in base 64, separated by dots.

::

    Q:<token>.<node id>[.<number>]*

The token tells which question an answer belongs to. The node id is that of the node that is asked
or, in an answer, of the node that asked. ``EVERYBODY`` stands for all nodes. Further numbers depend
on the note of the message; ``docs/wire.md`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["EVERYBODY", "MAX_NUMBERS", "read_line", "write_line"]

EVERYBODY = 0x10000
"""The node id of a question to all nodes."""

MAX_NUMBERS = 160
"""The most numbers of a line. A line with more is ignored."""

DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
VALUE_OF = {digit: value for value, digit in enumerate(DIGITS)}
MAX_DIGITS = 11
"""The digits of the largest u64."""

U64_MAX = (1 << 64) - 1
START = b"\r\nQ:"
MAX_LINE = MAX_NUMBERS * (MAX_DIGITS + 1)


def write_line(numbers: Iterable[int]) -> bytes:
    """Return the value of the line.

    :param numbers: the token, the node id, and the numbers of the note; each from 0 to 2^64 - 1.
    """
    return b".".join([write_number(number) for number in numbers])


def write_number(number: int) -> bytes:
    digits = bytearray()
    while number >= 64:
        digits.append(DIGITS[number & 63])
        number >>= 6
    digits.append(DIGITS[number])
    digits.reverse()
    return bytes(digits)


def read_line(header_block: bytes) -> tuple[int, ...] | None:
    """Return the numbers of the line, or ``None`` if there is no valid line.

    :param header_block: the header block of a NATS message. Anybody may be its sender,
        so that it may hold any bytes.
    :return: at least two numbers, token and node id.
    """
    start = header_block.find(START)
    if start < 0:
        return None
    start += len(START)
    end = header_block.find(b"\r", start, start + MAX_LINE)
    if end < 0:
        return None
    words = header_block[start:end].strip(b" \t").split(b".")
    if not 2 <= len(words) <= MAX_NUMBERS:
        return None
    numbers = []
    for word in words:
        if not 0 < len(word) <= MAX_DIGITS:
            return None
        number = 0
        for digit in word:
            value = VALUE_OF.get(digit)
            if value is None:
                return None
            number = number << 6 | value
        if number > U64_MAX:
            return None
        numbers.append(number)
    return tuple(numbers)
