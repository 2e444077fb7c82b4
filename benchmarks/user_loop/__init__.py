"""The work of a user's program: events made from fresh numbers, and every field read.

A publisher makes each event in the loop that publishes it. A receiver keeps the last change of each
account in a dictionary and adds up the types: ``last[account_id] = change_id; total += types``.
``Answer`` is what it must have afterwards, so that each timed run is also a check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.peers import Wire

ACCOUNTS = 10_007
KINDS = 500
FIRST_CHANGE_ID = 1 << 21
REPEATS = 10
U64 = (1 << 64) - 1


@dataclass(frozen=True)
class Answer:
    """What a receiver has read.

    :ivar total: the sum of ``types``, or of ``kind``.
    :ivar check: the sum over all accounts of the id times its last change, modulo 2**64; for
        ``AppEvent`` over all kinds of the kind times the number in its last payload.
    """

    total: int
    check: int


def expected(kind: str, count: int, senders: int = 1) -> Answer:
    """Return what is right after ``count`` events of each of ``senders``.

    With several senders of equal counts the last change of an account is the same for all of them.
    """
    last: dict[int, int] = {}
    if kind == "AppEvent":
        total = sum(number % KINDS for number in range(count))
        for number in range(max(0, count - KINDS), count):
            last[number % KINDS] = number
    else:
        total = sum(number % 64 for number in range(count))
        for number in range(max(0, count - ACCOUNTS), count):
            last[number % ACCOUNTS] = FIRST_CHANGE_ID + number
    return Answer(total * senders, sum(key * value for key, value in last.items()) & U64)


def answer(kind: str, last: dict[int, Any], total: int) -> Answer:
    """Sum up what a receiver's loop has left."""
    if kind == "AppEvent":
        numbers = {key: int.from_bytes(payload[:4], "big") for key, payload in last.items()}
        return Answer(total, sum(key * value for key, value in numbers.items()) & U64)
    return Answer(total, sum(key * value for key, value in last.items()) & U64)


Produce = Callable[[int], Awaitable[None]]
Read = Callable[[int], Awaitable[Answer]]


class Contender(Protocol):
    """A way to write the user's program.

    :ivar name: what tables call it.
    :ivar events: how many events make a run of about a second.
    """

    name: str
    events: int

    def version(self) -> str:
        """Return the version of the library below."""

    def producer(self, wire: Wire) -> AbstractAsyncContextManager[Produce]:
        """Return a coroutine function that makes and publishes so many events, and flushes."""

    def reader(self, wire: Wire) -> AbstractAsyncContextManager[Read]:
        """Return a coroutine function that reads so many events."""
