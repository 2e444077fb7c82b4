"""A simple model of the batcher: lists of events that are counted again each time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

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

    :ivar accepted_at: when its first event was accepted.
    :ivar is_confirmed: whether its events count as confirmed already.
    :ivar is_piece: whether it is a further piece of a batch that was split.
    :ivar discarded: how many events before it were discarded when it was sent.
    """

    offset: int
    events: list[Event]
    accepted_at: float
    confirmed_at: float = 0.0
    is_confirmed: bool = False
    is_piece: bool = False
    discarded: int = 0

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
        self.opened_at = 0.0
        self.queue: list[Batch] = []
        self.resend: list[Batch] = []
        self.window: list[Batch] = []
        self.recent: deque[Batch] = deque(maxlen=REMEMBERED)
        self.confirmed = self.sealed = 0
        self.discarded: set[int] = set()
        """The numbers of the events that were discarded."""

    @property
    def has_capacity(self) -> bool:
        return self.unconfirmed_batches < self.capacity

    @property
    def unconfirmed_batches(self) -> int:
        sealed = self.queue + self.resend + self.window
        return sum(not (batch.is_confirmed or batch.is_piece) for batch in sealed)

    @property
    def waiting(self) -> int:
        sealed = self.queue + self.resend + self.window
        unconfirmed = [batch for batch in sealed if not batch.is_confirmed]
        return len(self.open) + sum(len(batch.events) for batch in unconfirmed)

    @property
    def next_offset(self) -> int:
        unsent = self.resend + self.queue
        return unsent[0].offset if unsent else len(self.accepted) - len(self.open)

    def discarded_before(self, offset: int) -> int:
        return sum(number < offset for number in self.discarded)

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
        if not self.open:
            self.opened_at = self.now
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
        self.queue.append(Batch(offset, self.open, self.opened_at))
        self.open = []
        self.sealed += 1

    def take(self, most_bytes: int) -> list[Batch]:
        taken: list[Batch] = []
        source = self.resend or self.queue
        while source and sum(len(batch.payload) for batch in taken) < most_bytes:
            taken.append(source.pop(0))
            taken[-1].discarded = self.discarded_before(taken[-1].offset)
        self.window += taken
        return taken

    def confirm(self, up_to: int) -> None:
        while self.window and self.window[0].end <= up_to:
            batch = self.window.pop(0)
            if not batch.is_confirmed:
                self.confirmed += len(batch.events)
                batch.is_confirmed = True
            batch.is_piece = False
            batch.confirmed_at = self.now
            self.recent.append(batch)

    def rewind(self) -> None:
        self.resend = self.window + self.resend
        self.window = []

    def repeat(self, since: float) -> None:
        again: list[Batch] = []
        for batch in reversed(self.recent):
            if batch.confirmed_at < since:
                break
            again.insert(0, batch)
        self.resend = again + self.resend
        self.recent.clear()

    def discard_oldest(self) -> int:
        if self.queue:
            discarded = self._discard(self.queue.pop(0))
            while self.queue and self.queue[0].is_piece:
                discarded += self._discard(self.queue.pop(0))
            return discarded
        discarded = self._discard(Batch(len(self.accepted) - len(self.open), self.open, 0.0))
        self.open = []
        return discarded

    def discard_before(self, deadline: float) -> int:
        gone = 0
        while self.queue and self.queue[0].accepted_at < deadline:
            gone += self.discard_oldest()
        return gone

    def split_larger(self, limit: int) -> int:
        """Split the batches that are too large, and discard the events that are."""
        before = len(self.discarded)
        groups: list[list[Batch]] = []
        for batch in self.resend + self.queue:
            if not (batch.is_piece and groups):
                groups.append([])
            groups[-1].append(batch)
        for group in groups:
            is_counted = not group[0].is_piece
            for batch in group:
                pieces = self._pieces(batch, limit)
                for piece in pieces:
                    piece.is_piece = not (is_counted or batch.is_confirmed)
                    is_counted = is_counted and batch.is_confirmed
                for unsent in (self.resend, self.queue):
                    if batch in unsent:
                        place = unsent.index(batch)
                        unsent[place : place + 1] = pieces
        return len(self.discarded) - before

    def _pieces(self, batch: Batch, limit: int) -> list[Batch]:
        if len(batch.payload) <= limit:
            return [batch]
        pieces: list[Batch] = []
        for number, event in enumerate(batch.events, batch.offset):
            if PREFIX + size_of(event) > limit:
                if not batch.is_confirmed:
                    self.discarded.add(number)
            elif (
                pieces
                and pieces[-1].end == number
                and len(encode([*pieces[-1].events, event])) <= limit
            ):
                pieces[-1].events.append(event)
            else:
                pieces.append(replace(batch, offset=number, events=[event]))
        return pieces

    def _discard(self, batch: Batch) -> int:
        self.discarded.update(range(batch.offset, batch.end))
        return len(batch.events)
