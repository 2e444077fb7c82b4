"""Who sent what, who got what, and what was reported missing: it must add up for every pair.

Each event carries its sender and its number. A receiver walks through a sender's numbers: an event
stands exactly where the walk has come to, and ``Missed`` steps over as many as it says. Whatever is
lost in silence, given twice, out of order, or counted wrongly leaves the walk beside the numbers.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastcoord import AppEvent, Event, Missed, Node, Notice
from support.wait import until

PLACE = struct.Struct(">IQ")


def numbered_event(sender: int, number: int, run: int = 0) -> AppEvent:
    """Make event ``number`` of a sender; ``run`` tells its starts apart."""
    return AppEvent(sender, PLACE.pack(run, number))


@dataclass
class Line:
    """What one receiver heard of one run of one sender."""

    first: int | None = 0
    """Where the walk began; ``None``: wherever the first event stands."""
    got: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def place(self) -> int:
        """How far the walk has come: the number of the next event."""
        return (self.first or 0) + self.got + sum(self.missed.values())

    def step(self, number: int) -> None:
        if self.first is None:
            self.first = number - self.place
        if number != self.place:
            self.faults.append(f"event {number} where {self.place} is next")
            self.first += number - self.place
        self.got += 1


class Hearing:
    """One receiver's book.

    :param from_the_start: whether each sender must be heard from its first event on.
    """

    def __init__(self, *, from_the_start: bool = True) -> None:
        self.first = 0 if from_the_start else None
        self.lines: dict[tuple[int, int], Line] = {}
        self.notices: list[Notice] = []
        self.unknown: Counter[int | None] = Counter()
        """How often something of unknown number was reported missing, by node."""
        self._runs: dict[int, int] = {}
        self._ahead: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def line(self, sender: int, run: int = 0) -> Line:
        if (sender, run) not in self.lines:
            line = self.lines[sender, run] = Line(first=self.first)
            line.missed.update(self._ahead.pop(sender, {}))
        self._runs[sender] = run
        return self.lines[sender, run]

    def take(self, item: Event | Notice) -> None:
        """Write down one thing that a subscription gave."""
        if isinstance(item, AppEvent):
            run, number = PLACE.unpack(item.payload)
            self.line(item.kind, run).step(number)
        elif isinstance(item, Missed) and item.events is not None and item.node_id is not None:
            self._miss(item.node_id, item.events, item.cause)
        else:
            if isinstance(item, Missed):
                self.unknown[item.node_id] += 1
            self.notices.append(item)

    def _miss(self, sender: int, events: int, cause: str) -> None:
        if sender in self._runs:
            self.lines[sender, self._runs[sender]].missed[cause] += events
        else:
            self._ahead[sender][cause] += events

    def place(self, sender: int) -> int:
        """How far this receiver knows a sender to have come."""
        if sender in self._runs:
            return self.lines[sender, self._runs[sender]].place
        return sum(self._ahead[sender].values())

    def missed(self, sender: int) -> dict[str, int]:
        """What was reported missing of a sender, by cause."""
        if sender in self._runs:
            return dict(self.lines[sender, self._runs[sender]].missed)
        return dict(self._ahead[sender])

    async def follow(self, events: Any) -> None:
        """Write down everything that a subscription gives, to its end."""
        async for item in events:
            self.take(item)


class Ledger:
    """The books of several nodes that live in one test."""

    def __init__(self) -> None:
        self.sent: Counter[int] = Counter()
        self.hearings: dict[int, Hearing] = {}

    def next_event(self, node: Node) -> AppEvent:
        """Make the next event of a node; it counts as sent."""
        event = numbered_event(node.node_id, self.sent[node.node_id])
        self.sent[node.node_id] += 1
        return event

    async def publish(self, node: Node, count: int = 1) -> None:
        """Publish the next events of a node; each of them is accepted when this returns."""
        await node.publish(*(self.next_event(node) for _ in range(count)))

    def publish_nowait(self, node: Node, count: int = 1) -> None:
        """Publish the next events of a node without waiting."""
        node.publish_nowait(*(self.next_event(node) for _ in range(count)))

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Give every receiver with every sender."""
        for receiver in self.hearings:
            yield from ((receiver, sender) for sender in self.sent if sender != receiver)

    @property
    def is_even(self) -> bool:
        """Whether every receiver knows of every event, got or missed."""
        return all(
            self.hearings[to].place(sender) == self.sent[sender] for to, sender in self.pairs()
        )

    async def even(self, *, timeout: float = 30.0) -> None:
        """Wait until everything sent is got or reported missing everywhere, and check the books.

        :raises AssertionError: when something is unaccounted for, twice, or out of order.
        """
        try:
            await until(lambda: self.is_even, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"not everything is accounted for:\n{self.table()}") from None
        self.check()

    def check(self) -> None:
        """Assert order, uniqueness and the exact sum for every pair."""
        for receiver, sender in self.pairs():
            hearing = self.hearings[receiver]
            line = hearing.line(sender)
            assert not line.faults, f"{receiver} of {sender}: {line.faults[:5]}"
            assert line.first == 0
            missed = sum(line.missed.values())
            assert line.got + missed == self.sent[sender], f"{receiver} of {sender}: {line}"
            assert not hearing.unknown[sender]

    def missed(self) -> dict[tuple[int, int], dict[str, int]]:
        """What was reported missing, by receiver and sender, where something was."""
        found = {(to, sender): self.hearings[to].missed(sender) for to, sender in self.pairs()}
        return {pair: causes for pair, causes in found.items() if causes}

    @property
    def share(self) -> float:
        """The part of all events that was delivered, over all pairs."""
        sent = sum(self.sent[sender] for _, sender in self.pairs())
        got = sum(self.hearings[to].line(sender).got for to, sender in self.pairs())
        return got / sent if sent else 1.0

    def table(self) -> str:
        """Give a line for each pair."""
        rows = []
        for receiver, sender in self.pairs():
            line = self.hearings[receiver].lines.get((sender, 0), Line())
            place = self.hearings[receiver].place(sender)
            rows.append(
                f"{receiver} <- {sender}: sent {self.sent[sender]}, got {line.got}, missed"
                f" {self.hearings[receiver].missed(sender)}, known {place}, {line.faults[:3]}"
            )
        return "\n".join(rows)
