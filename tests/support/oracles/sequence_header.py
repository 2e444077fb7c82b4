"""The sequence header, written and read slowly and obviously."""

from __future__ import annotations

import re

SequenceHeader = tuple[int, int, int, int, int, int] | str | None
"""``(incarnation, offset, count, discarded, connection, silence)``, ``"malformed"``, or ``None``
without a header."""

U64 = 1 << 64
U32 = 1 << 32
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
NOTES = {
    "e": None,
    "r": "resend",
    "g": "goodbye",
    "h": "hello",
    "w": "who",
    "q": "progress",
    "a": "answer",
}
FIELDS = re.compile(r"1([a-z])([erghwqa])([\w-]+)\.([\w-]+(?:\.[\w-]+)*)[ \t]*\r", re.ASCII)


def write_number(number: int) -> str:
    """Write a number with the base 64."""
    digits = DIGITS[number % 64]
    while number := number // 64:
        digits = DIGITS[number % 64] + digits
    return digits


def write_header(
    incarnation: int,
    offset: int,
    count: int = 1,
    discarded: int = 0,
    connection: int = 0,
    silence: int = 0,
    *,
    note: str | None = None,
    protocol: str = "a",
) -> str:
    """Write the value of the sequence header, with every field."""
    letter = next(letter for letter, name in NOTES.items() if name == note)
    numbers = (incarnation, offset, count, discarded, connection, silence)
    return f"1{protocol}{letter}{'.'.join(map(write_number, numbers))}"


def read_fields(value: bytes) -> SequenceHeader:
    """Read the value of the sequence header, with the end of its line."""
    found = FIELDS.match(value.decode("latin-1"))
    if found is None:
        return "malformed"
    numbers = []
    for digits in (found[3], *found[4].split(".")):
        number = 0
        for digit in digits:
            number = number * 64 + DIGITS.index(digit)
            if number >= U64:
                return "malformed"
        numbers.append(number)
    defaults = [0, 0, 1, 0, 0, 0]
    incarnation, offset, count, discarded, connection, silence = [
        *numbers[:6],
        *defaults[len(numbers) :],
    ]
    if offset + count >= U64 or connection >= U32 or silence >= U32:
        return "malformed"
    return incarnation, offset, count, discarded, connection, silence


def read_header(block: bytes) -> SequenceHeader:
    """Find the sequence header in a header block.

    :return: its numbers; ``"malformed"`` for an invalid header, ``None`` without one.
    """
    for line in block.split(b"\n"):
        if line.startswith(b"F:"):
            return read_fields(line.removeprefix(b"F:").lstrip(b" \t"))
    return None


def has_events(block: bytes) -> bool:
    """Return whether a header block is that of a message with events."""
    numbers = read_header(block)
    return isinstance(numbers, tuple) and numbers[2] > 0
