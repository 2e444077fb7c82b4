"""A simple model of the batcher: lists of events that are counted again each time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import fastcoord
from fastcoord import Event

PROTOCOL = "stalwart-0.15"
NODE_ID = 300
REMEMBERED = 256


def encode(events: Sequence[Event]) -> bytes:
    return fastcoord.encode_batch(events, node_id=NODE_ID, protocol=PROTOCOL)


PREFIX = len(encode([]))


def size_of(event: Event) -> int:
    """Return the number of bytes that an event adds to a batch."""
    return len(encode([event])) - PREFIX


@dataclass
class Batch:
    """A sealed batch.

    :ivar is_counted: whether its events are already counted as confirmed or discarded.
    """

    offset: int
    events: list[Event]
    sealed_at: float
    is_counted: bool = False

    @property
    def end(self) -> int:
        return self.offset + len(self.events)

    @property
    def payload(self) -> bytes:
        return encode(self.events)


class TooLargeError(Exception):
    """The event is larger than a batch may be."""


class BatcherModel:
    """A batcher with the same limits and the same rules as the compiled one."""

    def __init__(self, limit: int, capacity: int) -> None:
        self.limit = limit
        self.capacity = capacity
        self.now = 0.0
        self.accepted: list[Event] = []
        self.open: list[Event] = []
        self.queue: list[Batch] = []
        self.window: list[Batch] = []
        self.recent: deque[Batch] = deque(maxlen=REMEMBERED)
        self.confirmed = self.discarded = self.sealed = 0

    @property
    def has_capacity(self) -> bool:
        return len(self.queue) + len(self.window) < self.capacity

    @property
    def waiting(self) -> int:
        sealed = [batch for batch in self.queue + self.window if not batch.is_counted]
        return len(self.open) + sum(len(batch.events) for batch in sealed)

    def set_limit(self, limit: int) -> None:
        self.limit = limit
        if self.open and len(encode(self.open)) > limit:
            self._seal()

    def add(self, event: Event) -> bool:
        if PREFIX + size_of(event) > self.limit:
            raise TooLargeError
        if len(encode([*self.open, event])) > self.limit:
            if not self.has_capacity:
                return False
            self._seal()
        self.open.append(event)
        self.accepted.append(event)
        return True

    def add_from(self, events: Sequence[Event]) -> int:
        for place, event in enumerate(events):
            if not self.add(event):
                return place
        return len(events)

    def add_always(self, events: Sequence[Event]) -> None:
        for event in events:
            while not self.add(event):
                self.discard_oldest()

    def seal(self) -> bool:
        if not self.open or not self.has_capacity:
            return False
        self._seal()
        return True

    def _seal(self) -> None:
        offset = len(self.accepted) - len(self.open)
        self.queue.append(Batch(offset, self.open, self.now))
        self.open = []
        self.sealed += 1

    def take(self, most_bytes: int) -> list[Batch]:
        taken: list[Batch] = []
        while self.queue and sum(len(batch.payload) for batch in taken) < most_bytes:
            taken.append(self.queue.pop(0))
        self.window += taken
        return taken

    def confirm(self, up_to: int) -> None:
        while self.window and self.window[0].end <= up_to:
            batch = self.window.pop(0)
            if not batch.is_counted:
                self.confirmed += len(batch.events)
                batch.is_counted = True
            self.recent.append(batch)

    def rewind(self) -> None:
        self.queue = self.window + self.queue
        self.window = []

    def repeat(self, since: float) -> None:
        again: list[Batch] = []
        for batch in reversed(self.recent):
            if batch.sealed_at < since:
                break
            again.insert(0, batch)
        self.queue = again + self.queue
        self.recent.clear()

    def discard_oldest(self) -> int:
        for place in (self.queue, self.window):
            if place:
                return self._discard(place.pop(0))
        return 0

    def discard_before(self, deadline: float) -> int:
        gone = 0
        while self.queue and self.queue[0].sealed_at < deadline:
            gone += self._discard(self.queue.pop(0))
        return gone

    def discard_larger(self, limit: int) -> int:
        larger = [batch for batch in self.queue if len(batch.payload) > limit]
        self.queue = [batch for batch in self.queue if len(batch.payload) <= limit]
        return sum(self._discard(batch) for batch in larger)

    def _discard(self, batch: Batch) -> int:
        if batch.is_counted:
            return 0
        batch.is_counted = True
        self.discarded += len(batch.events)
        return len(batch.events)
