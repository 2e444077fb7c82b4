"""Readers, which convert the values of the file.

A reader raises ``ValueError`` with the allowed values. The message does not contain the given
value, because it may be secret. The caller adds a value that is not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import TypeGuard

from fastcoord.config._model import HIGHEST_NODE_ID, PROTOCOLS

__all__ = [
    "boolean",
    "domain",
    "duration",
    "integer",
    "nearest",
    "pace",
    "protocol",
    "reconnects",
    "size",
    "stream",
    "subject",
    "text",
]

MILLISECONDS = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST = 365 * MILLISECONDS["d"]
BYTES = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
DURATIONS = (
    'a duration such as "250ms", "5s", "1m", "2h" or "1d", or a whole number of milliseconds, '
    "above zero and at most 365 days"
)
LARGEST_COUNT = 2**31 - 1
LONGEST_SUBJECT = 255
LONGEST_STREAM_NAME = 255
LONGEST_COMPARED = 64  # the comparison is quadratic, and every known name is shorter

# 18 digits are more than any limit needs, and cheap to convert.
_DURATION = re.compile(r"([0-9]{1,18})[ \t]*(ms|s|m|h|d)?", re.IGNORECASE | re.ASCII)
_SIZE = re.compile(r"([0-9]{1,18})[ \t]*([kmg]?b)?", re.IGNORECASE | re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def text(value: object) -> str:
    """Read a string that is not empty."""
    if not isinstance(value, str):
        raise ValueError("a string is needed")
    if not value:
        raise ValueError("a string that is not empty is needed; leave the key out if you need none")
    return value


def boolean(value: object) -> bool:
    """Read ``true`` or ``false``, or one of them as a string."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    raise ValueError("allowed are true and false")


def integer(lowest: int, highest: int = LARGEST_COUNT) -> Callable[[object], int]:
    """Make a reader of whole numbers, which may be strings of digits.

    :param lowest: the smallest number allowed.
    :param highest: the largest number allowed.
    :return: the reader.
    """

    def read(value: object) -> int:
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if _is_integer(value) and lowest <= value <= highest:
            return value
        raise ValueError(f"allowed is a whole number from {lowest} to {highest}")

    return read


def node_id(value: object) -> int | str:
    """Read a node id, or ``auto``."""
    if value == "auto":
        return "auto"
    try:
        return integer(0, HIGHEST_NODE_ID)(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "auto" for a free one') from None


def reconnects(value: object) -> int | None:
    """Read a number of attempts; ``false`` means that there is no limit."""
    if value is False or value == "false":
        return None
    try:
        return integer(0)(value)
    except ValueError as error:
        raise ValueError(f"{error} (0 disables reconnection), or false for no limit") from None


def duration(value: object) -> float:
    """Read a duration above zero; the result is in seconds."""
    seconds = _seconds(value, f"allowed is {DURATIONS}")
    if not seconds:
        raise ValueError(f"zero is refused: allowed is {DURATIONS}")
    return seconds


def pace(value: object) -> float | None:
    """Read a duration in seconds, which may be zero; ``auto`` is read as ``None``."""
    if value == "auto":
        return None
    return _seconds(value, f'allowed is "auto", 0 (no message waits), or {DURATIONS}')


def _seconds(value: object, allowed: str) -> float:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        number, unit = match.groups()
        value = int(number) * MILLISECONDS[(unit or "").lower()]
    if _is_integer(value) and 0 <= value <= LONGEST:
        return value / 1000
    if isinstance(value, float):
        raise ValueError(f'fractions are not accepted; write "1500ms" for 1.5 seconds: {allowed}')
    raise ValueError(allowed)


def size(lowest: int, highest: int, why: str = "") -> Callable[[object], int]:
    """Make a reader of sizes in bytes; a KB is 1024 bytes.

    :param lowest: the smallest size allowed, in bytes.
    :param highest: the largest size allowed, in bytes.
    :param why: the reason for the bounds, for the error.
    :return: the reader.
    """

    def read(value: object) -> int:
        if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
            number, unit = match.groups()
            value = int(number) * BYTES[(unit or "").lower()]
        if _is_integer(value) and lowest <= value <= highest:
            return value
        raise ValueError(
            'allowed is a size in bytes such as 512, "64KB" or "1MB" (1KB is 1024 bytes), from '
            f"{lowest} to {highest}{why}"
        )

    return read


def protocol(value: object) -> str:
    """Read the name of a wire protocol."""
    if isinstance(value, str):
        if value in PROTOCOLS:
            return value
        if near := nearest(value, {each: each for each in PROTOCOLS}):
            known = ", ".join(PROTOCOLS)
            raise ValueError(f'the nearest known is "{near}"; allowed are {known}')
    raise ValueError(f"allowed are {', '.join(PROTOCOLS)}")


def subject(value: object) -> str:
    """Read a NATS subject to publish on."""
    allowed = (
        "allowed is a NATS subject: words joined by dots, without blanks, control characters or "
        f"the wildcards * and >, at most {LONGEST_SUBJECT} bytes"
    )
    if not isinstance(value, str) or not value:
        raise ValueError(allowed)
    # isprintable() is false for every control character, for line breaks and for surrogates.
    if not value.isprintable() or any(character.isspace() for character in value):
        raise ValueError(allowed)
    if "*" in value or ">" in value or "" in value.split("."):
        raise ValueError(allowed)
    if len(value.encode()) > LONGEST_SUBJECT:
        raise ValueError(allowed)
    return value


def stream(value: object) -> str:
    """Read the name of a JetStream stream."""
    return _name(value, "stream")


def domain(value: object) -> str:
    """Read the name of a JetStream domain."""
    return _name(value, "domain")


def _name(value: object, kind: str) -> str:
    allowed = (
        f"allowed is the name of a JetStream {kind}: without blanks, control characters and the "
        rf"characters . * > / \, at most {LONGEST_STREAM_NAME} bytes"
    )
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(allowed)
    if any(character.isspace() or character in ".*>/\\" for character in value):
        raise ValueError(allowed)
    if len(value.encode()) > LONGEST_STREAM_NAME:
        raise ValueError(allowed)
    return value


def nearest(name: str, known: Mapping[str, str], similarity: float = 0.6) -> str | None:
    """Find the known name that is most similar to a mistyped one.

    :param name: the given name.
    :param known: the known name that each spelling means.
    :param similarity: the smallest similarity of the result, from 0 to 1.
    :return: the nearest known name, or ``None`` if none is similar.
    """
    if len(name) > LONGEST_COMPARED:
        return None
    by_folded = {_fold(each): meant for each, meant in known.items()}
    matches = difflib.get_close_matches(_fold(name), by_folded, 1, similarity)
    return by_folded[matches[0]] if matches else None


def _fold(name: str) -> str:
    return name.lower().replace("_", "-")
