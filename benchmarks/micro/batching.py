"""Publishing into a batch, against collecting objects and encoding them with msgspec."""

from __future__ import annotations

from typing import Any

import fastcoord
from benchmarks import data, msgspec_events
from benchmarks.micro import Contender, Contest, call
from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.publisher import Publisher

PROTOCOL = "fastcoord-1"


def contests() -> list[Contest]:
    """Give every contest of this file; each answer has been checked."""
    events = data.state_changes()
    return [one_by_one(events), all_at_once(events)]


def new_batcher() -> Batcher:
    """Give a batcher that nobody listens to."""
    return Batcher(
        node_id=2,
        protocol=PROTOCOL,
        limit=16 * 1024,
        capacity=64,
        on_open=lambda: None,
        on_seal=lambda: None,
    )


class Owner:
    """Stands where a node would; here, nothing is ever refused and no batch is full."""

    def refuse(self, *unused: object) -> Any:
        raise AssertionError("this was to be accepted at once")

    publish_rest = yield_to_loop = refuse


class HandMade:
    """What a program writes that batches by itself."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def publish(self, event: Any) -> None:
        """Keep an event until its batch is full."""
        self.waiting.append(event)

    def seal(self) -> bytes:
        """Encode what was kept."""
        payload = msgspec_events.encoder.encode(self.waiting)
        self.waiting.clear()
        return payload


def sealed(batcher: Batcher) -> bytes:
    """Do what happens when the loop comes round: seal, take and confirm the open batch."""
    batcher.begin_flush(0.0)
    batcher.seal()
    batch = batcher.take(1)[0]
    batcher.confirm(batch.offset + batch.count)
    return batch.payload


def one_by_one(events: list[Any]) -> Contest:
    """Publish each event with a call of its own, then seal."""
    batcher, hand_made = new_batcher(), HandMade()
    publisher = Publisher(NodeState(), batcher, Owner())
    structs = msgspec_events.as_state_changes(events)

    def ours() -> bytes:
        publish = publisher.publish
        for event in events:
            publish(event)
        return sealed(batcher)

    def theirs() -> bytes:
        publish = hand_made.publish
        for struct in structs:
            publish(struct)
        return hand_made.seal()

    check(ours(), theirs(), events)
    return Contest(
        "batcher",
        "Publish 100 events one by one into a batch, and seal it",
        [
            Contender("fastcoord batcher", call(ours), len(events)),
            Contender("list, then msgspec", call(theirs), len(events)),
        ],
    )


def all_at_once(events: list[Any]) -> Contest:
    """Publish a list of events with one call, then seal."""
    batcher = new_batcher()
    publisher = Publisher(NodeState(), batcher, Owner())
    structs = msgspec_events.as_state_changes(events)

    def ours() -> bytes:
        publisher.publish_many(events)
        return sealed(batcher)

    def theirs() -> bytes:
        return msgspec_events.encoder.encode(structs)

    check(ours(), theirs(), events)
    return Contest(
        "batcher_list",
        "Publish a list of 100 events into a batch, and seal it",
        [
            Contender("fastcoord batcher", call(ours), len(events)),
            Contender("msgspec, no batcher", call(theirs), len(events)),
        ],
    )


def check(ours: bytes, theirs: bytes, events: list[Any]) -> None:
    """Make sure that both payloads hold the events."""
    assert list(fastcoord.decode_batch(ours, protocol=PROTOCOL)) == events
    assert msgspec_events.same(events, msgspec_events.state_changes_decoder.decode(theirs))
