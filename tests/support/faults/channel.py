"""A sender, a faulty channel, and a consumer with a cache that must be right at the end.

The sender's events set keys to values; the truth is the last value of each key. The consumer
applies events to its cache, clears the cache at a ``Missed``, and reads a key that is not cached
from the truth.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastcoord import Missed
from support.receiving.receiving_side import (
    HEARTBEAT,
    INCARNATION,
    Received,
    ReceivingSide,
    payload,
)

KEYS = 8
"""The key of event number n is n modulo this, as in ``receiving_side``."""


@dataclass(frozen=True)
class Step:
    """One message of the sender, and what the channel does to it.

    :ivar events: the number of events; 0 makes it a heartbeat.
    :ivar discarded: the number of events that the sender accepted and discarded just before.
    :ivar copies: for each copy, how many further messages arrive before it; empty for a loss.
    :ivar reads: the keys that the consumer reads afterwards.
    """

    events: int
    discarded: int = 0
    copies: tuple[int, ...] = (0,)
    reads: tuple[int, ...] = ()

    @property
    def is_lost(self) -> bool:
        return not self.copies


@dataclass(frozen=True)
class Message:
    numbers: tuple[int, ...]
    events: range


class Exchange:
    """One run of a sender, a channel and a consumer.

    :ivar received: event numbers and notices that the consumer got, in order.
    """

    def __init__(self, *, settled: bool = True, base: int = 0) -> None:
        self.receiver = ReceivingSide(settled=settled)
        self.received: list[int | Missed] = []
        self.truth = dict.fromkeys(range(KEYS), -1)
        self.cache: dict[int, int] = {}
        self._offset = base
        self._discarded = 0
        self._step = 0
        self._on_the_way: defaultdict[int, list[Message]] = defaultdict(list)

    def run(self, steps: Iterable[Step]) -> None:
        """Run the steps, deliver all delayed copies, and end with two heartbeats."""
        for step in steps:
            self._send(step)
            self._arrive(self._step)
            for key in step.reads:
                self.cache.setdefault(key, self.truth[key])
            self._step += 1
        for late in sorted(self._on_the_way):
            self._arrive(late)
        for _ in range(2):
            self._send(Step(0))
            self._arrive(self._step)
            self._step += 1
            for item in self.receiver.tick(HEARTBEAT):
                self._apply(item)

    @property
    def stale(self) -> dict[int, tuple[int, int]]:
        """The keys that the cache has wrong, with the cached value and the truth."""
        return {
            key: (value, self.truth[key])
            for key, value in self.cache.items()
            if value != self.truth[key]
        }

    @property
    def delivered(self) -> list[int]:
        return [item for item in self.received if isinstance(item, int)]

    def missed(self, cause: str) -> int:
        return sum(
            item.events or 0
            for item in self.received
            if isinstance(item, Missed) and item.cause == cause
        )

    def _send(self, step: Step) -> None:
        self._accept(step.discarded)
        self._discarded += step.discarded
        events = range(self._offset, self._offset + step.events)
        numbers = (INCARNATION, self._offset, step.events, self._discarded)
        self._accept(step.events)
        for delay in step.copies:
            self._on_the_way[self._step + delay].append(Message(numbers, events))

    def _accept(self, count: int) -> None:
        for number in range(self._offset, self._offset + count):
            self.truth[number % KEYS] = number
        self._offset += count

    def _arrive(self, now: int) -> None:
        for message in self._on_the_way.pop(now, ()):
            for item in self.receiver.receive_payload(message.numbers, payload(message.events)):
                self._apply(item)

    def _apply(self, item: Received) -> None:
        assert isinstance(item, int | Missed)
        self.received.append(item)
        if isinstance(item, Missed):
            self.cache.clear()
        else:
            self.cache[item % KEYS] = item


def random_steps(chance: random.Random, length: int, faulty: float) -> Sequence[Step]:
    """Make a stream in which a share of the messages is lost, repeated or late."""
    return [_random_step(chance, faulty) for _ in range(length)]


def _random_step(chance: random.Random, faulty: float) -> Step:
    copies: tuple[int, ...] = (0,)
    if chance.random() < faulty:
        kind = chance.randrange(3)
        if kind == 0:
            copies = ()
        elif kind == 1:
            copies = (0, chance.randrange(4))
        else:
            copies = (1 + chance.randrange(4),)
    return Step(
        events=chance.choice((0, 1, 1, 1, 2, 3, 8)),
        discarded=chance.choice((0, 0, 0, 0, 2)),
        copies=copies,
        reads=tuple(chance.sample(range(KEYS), chance.randrange(3))),
    )
