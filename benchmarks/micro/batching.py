"""Publishing into a batch, compared with collecting objects and encoding them with msgspec."""

from __future__ import annotations

import threading
from typing import Any

import fastcoord
from benchmarks import data, msgspec_events
from benchmarks.micro import Contender, Contest, call
from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.publisher import Publisher

PROTOCOL = "fastcoord-1"


def contests() -> list[Contest]:
    """Return all contests of this file, with checked results."""
    events = data.state_changes()
    return [one_by_one(events), all_at_once(events)]


def new_batcher() -> Batcher:
    """Return a batcher without callbacks."""
    return Batcher(
        node_id=2,
        protocol=PROTOCOL,
        limit=16 * 1024,
        capacity=64,
        clock=lambda: 0.0,
        on_open=lambda: None,
        on_seal=lambda: None,
    )


def state() -> NodeState:
    """Return the state of a node whose event loop runs in this thread."""
    made = NodeState()
    made.set_thread(threading.get_ident())
    return made


class Owner:
    """The owner of the publisher; no batch gets so full that the publisher has to wait."""

    def check_caller(self) -> None:
        """Accept any caller."""

    def refuse(self, *unused: object) -> Any:
        raise AssertionError("the batcher did not accept an event")

    publish_rest = yield_to_loop = refuse


class HandMade:
    """Batching as a program without fastcoord would do it."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def publish(self, event: Any) -> None:
        """Add an event to the list."""
        self.waiting.append(event)

    def seal(self) -> bytes:
        """Encode the list."""
        payload = msgspec_events.encoder.encode(self.waiting)
        self.waiting.clear()
        return payload


def sealed(batcher: Batcher) -> bytes:
    """Seal, take and confirm the open batch, as one iteration of the event loop does."""
    batcher.begin_flush()
    batcher.seal()
    batch = batcher.take(1)[0]
    batcher.confirm(batch.offset + batch.count, 0.0)
    return batch.payload


def one_by_one(events: list[Any]) -> Contest:
    """Publish each event with one call, then seal."""
    batcher, hand_made = new_batcher(), HandMade()
    publisher = Publisher(state(), batcher, Owner())
    structs = msgspec_events.as_state_changes(events)

    def fastcoord_job() -> bytes:
        publish = publisher.publish
        for event in events:
            publish(event)
        return sealed(batcher)

    def msgspec_job() -> bytes:
        publish = hand_made.publish
        for struct in structs:
            publish(struct)
        return hand_made.seal()

    check(fastcoord_job(), msgspec_job(), events)
    return Contest(
        "batcher",
        "Publish 100 events one by one into a batch, and seal it",
        [
            Contender("fastcoord batcher", call(fastcoord_job), len(events)),
            Contender("list, then msgspec", call(msgspec_job), len(events)),
        ],
    )


def all_at_once(events: list[Any]) -> Contest:
    """Publish a list of events with one call, then seal."""
    batcher = new_batcher()
    publisher = Publisher(state(), batcher, Owner())
    structs = msgspec_events.as_state_changes(events)

    def fastcoord_job() -> bytes:
        publisher.publish_many(events)
        return sealed(batcher)

    def msgspec_job() -> bytes:
        return msgspec_events.encoder.encode(structs)

    check(fastcoord_job(), msgspec_job(), events)
    return Contest(
        "batcher_list",
        "Publish a list of 100 events into a batch, and seal it",
        [
            Contender("fastcoord batcher", call(fastcoord_job), len(events)),
            Contender("msgspec, no batcher", call(msgspec_job), len(events)),
        ],
    )


def check(encoded: bytes, msgpack: bytes, events: list[Any]) -> None:
    """Check that both payloads hold the events."""
    assert list(fastcoord.decode_batch(encoded, protocol=PROTOCOL)) == events
    assert msgspec_events.same(events, msgspec_events.state_changes_decoder.decode(msgpack))
