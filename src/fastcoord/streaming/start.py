"""Where a subscription begins in a stream: the argument ``since`` of ``subscribe``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

__all__ = ["Since", "Start", "read_since"]

Since = int | float | timedelta | datetime

MAX_SEQUENCE = 2**64 - 1
EARLIEST = datetime(1970, 1, 1, tzinfo=timezone.utc)
LATEST = datetime(2262, 1, 1, tzinfo=timezone.utc)
"""JetStream reads other times as wrong ones: it counts nanoseconds since 1970 in 64 bits."""


class Start(NamedTuple):
    """A place in a stream.

    :ivar sequence: the last message that is not replayed; ``None`` if ``time`` is set.
    :ivar time: the time of the first message that is replayed, as JetStream reads it.
    """

    sequence: int | None
    time: str | None


def read_since(since: Since, now: datetime) -> Start:
    """Return the place in the stream that ``since`` describes.

    :param since: an integer is the stream sequence of the last message that is not replayed. A
        ``timedelta`` or a float counts back from ``now``; a float is in seconds. A ``datetime`` is
        the time of the first message.
    :param now: the present time, with a time zone.
    :raises TypeError: ``since`` has another type.
    :raises ValueError: ``since`` is negative, larger than any stream sequence, or a ``datetime``
        without a time zone.
    """
    if isinstance(since, bool) or not isinstance(since, int | float | timedelta | datetime):
        raise TypeError(
            "since must be a timedelta, a number of seconds as a float, a datetime or a stream"
            f" sequence as an integer, not {type(since).__name__}"
        )
    if isinstance(since, int):
        if not 0 <= since <= MAX_SEQUENCE:
            raise ValueError(f"since must be a stream sequence from 0 to 2^64 - 1, not {since}")
        return Start(since, None)
    if isinstance(since, float):
        if not 0 <= since < float("inf"):
            raise ValueError(f"since must be at least 0.0 seconds, not {since}")
        since = timedelta(seconds=min(since, (now - EARLIEST).total_seconds()))
    if isinstance(since, timedelta):
        if since < timedelta(0):
            raise ValueError(f"since must not be negative: {since}")
        since = now - min(since, now - EARLIEST)
    elif since.tzinfo is None:
        raise ValueError(
            f"since has no time zone: {since}; write datetime.now(timezone.utc) or"
            " since.astimezone()"
        )
    moment = min(max(since, EARLIEST), LATEST).astimezone(timezone.utc)
    return Start(None, moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
