"""A record of sent, received and missed events that must add up for every pair of nodes.

Each event carries its sender and its number. For each sender a receiver keeps the next expected
number: an event must have exactly that number, and ``Missed`` advances it. An event that is lost
without a report, delivered twice, out of order or counted wrongly breaks the sequence.
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
    """Make event ``number`` of a sender; ``run`` identifies the start of its process."""
    return AppEvent(sender, PLACE.pack(run, number))


@dataclass
class SenderRecord:
    """What one receiver got from one run of one sender."""

    first: int | None = 0
    """The number of the first event; ``None`` to begin at any number."""
    got: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def place(self) -> int:
        """The number of the next expected event."""
        return (self.first or 0) + self.got + sum(self.missed.values())

    def step(self, number: int) -> None:
        if self.first is None:
            self.first = number - self.place
        if number != self.place:
            self.faults.append(f"event {number} where {self.place} is next")
            self.first += number - self.place
        self.got += 1


class Record:
    """What one receiver got.

    :param from_the_start: whether each sender's first event must be received.
    """

    def __init__(self, *, from_the_start: bool = True) -> None:
        self.first = 0 if from_the_start else None
        self.senders: dict[tuple[int, int], SenderRecord] = {}
        self.notices: list[Notice] = []
        self.unknown: Counter[int | None] = Counter()
        """The number of ``Missed`` without a number of events, by node."""
        self._runs: dict[int, int] = {}
        self._ahead: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def sender(self, sender: int, run: int = 0) -> SenderRecord:
        if (sender, run) not in self.senders:
            record = self.senders[sender, run] = SenderRecord(first=self.first)
            record.missed.update(self._ahead.pop(sender, {}))
        self._runs[sender] = run
        return self.senders[sender, run]

    def take(self, item: Event | Notice) -> None:
        """Record one item of a subscription."""
        if isinstance(item, AppEvent):
            run, number = PLACE.unpack(item.payload)
            self.sender(item.kind, run).step(number)
        elif isinstance(item, Missed) and item.events is not None and item.node_id is not None:
            self._miss(item.node_id, item.events, item.cause)
        else:
            if isinstance(item, Missed):
                self.unknown[item.node_id] += 1
            self.notices.append(item)

    def _miss(self, sender: int, events: int, cause: str) -> None:
        if sender in self._runs:
            self.senders[sender, self._runs[sender]].missed[cause] += events
        else:
            self._ahead[sender][cause] += events

    def place(self, sender: int) -> int:
        """Return the number of the next expected event of a sender."""
        if sender in self._runs:
            return self.senders[sender, self._runs[sender]].place
        return sum(self._ahead[sender].values())

    def missed(self, sender: int) -> dict[str, int]:
        """Return the number of missed events of a sender, by cause."""
        if sender in self._runs:
            return dict(self.senders[sender, self._runs[sender]].missed)
        return dict(self._ahead[sender])

    async def follow(self, events: Any) -> None:
        """Record all items of a subscription until it ends."""
        async for item in events:
            self.take(item)


class Ledger:
    """The records of several nodes of one test."""

    def __init__(self) -> None:
        self.sent: Counter[int] = Counter()
        self.records: dict[int, Record] = {}

    def next_event(self, node: Node) -> AppEvent:
        """Make the next event of a node and count it as sent."""
        event = numbered_event(node.node_id, self.sent[node.node_id])
        self.sent[node.node_id] += 1
        return event

    async def publish(self, node: Node, count: int = 1) -> None:
        """Publish the next events of a node and wait until all are accepted."""
        await node.publish(*(self.next_event(node) for _ in range(count)))

    def publish_nowait(self, node: Node, count: int = 1) -> None:
        """Publish the next events of a node without waiting."""
        node.publish_nowait(*(self.next_event(node) for _ in range(count)))

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Yield every receiver with every sender."""
        for receiver in self.records:
            yield from ((receiver, sender) for sender in self.sent if sender != receiver)

    @property
    def is_even(self) -> bool:
        """Whether every receiver has got or missed every event."""
        return all(
            self.records[to].place(sender) == self.sent[sender] for to, sender in self.pairs()
        )

    async def even(self, *, timeout: float = 120.0) -> None:
        """Wait until every receiver has got or missed every event, and check the records.

        :raises AssertionError: an event is unaccounted for, delivered twice, or out of order.
        """
        try:
            await until(lambda: self.is_even, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"not everything is accounted for:\n{self.table()}") from None
        self.check()

    def check(self) -> None:
        """Assert order, uniqueness and the exact sum for every pair.

        ``Missed`` without a number may be among the notices: a busy machine makes peers silent.
        """
        for receiver, sender in self.pairs():
            record = self.records[receiver]
            got = record.sender(sender)
            assert not got.faults, f"{receiver} of {sender}: {got.faults[:5]}"
            assert got.first == 0
            missed = sum(got.missed.values())
            assert got.got + missed == self.sent[sender], f"{receiver} of {sender}: {got}"

    def missed(self) -> dict[tuple[int, int], dict[str, int]]:
        """Return the missed events by receiver and sender, for pairs that have some."""
        found = {(to, sender): self.records[to].missed(sender) for to, sender in self.pairs()}
        return {pair: causes for pair, causes in found.items() if causes}

    @property
    def share(self) -> float:
        """The share of all events that was delivered, over all pairs."""
        sent = sum(self.sent[sender] for _, sender in self.pairs())
        got = sum(self.records[to].sender(sender).got for to, sender in self.pairs())
        return got / sent if sent else 1.0

    def table(self) -> str:
        """Return one line of text for each pair."""
        rows = []
        for receiver, sender in self.pairs():
            record = self.records[receiver]
            got = record.senders.get((sender, 0), SenderRecord())
            rows.append(
                f"{receiver} <- {sender}: sent {self.sent[sender]}, got {got.got}, missed"
                f" {record.missed(sender)}, next {record.place(sender)}, {got.faults[:3]}"
            )
        return "\n".join(rows)
