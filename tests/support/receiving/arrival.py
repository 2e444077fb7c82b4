"""Passes a payload through receiver, ring and cursor, as a message from the network.

The receiver scans and counts the events without making objects; the cursor decodes them when a
consumer takes them and relies on the scan. So both must find the same events in every payload, and
the same as ``decode_batch``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, NoReturn

import fastcoord
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.receiver import Receiver
from fastcoord.receiving.ring import Ring
from fastcoord.receiving.verdict import Verdict
from support.oracles.comparison import assert_as_good_as_new, by_reference, event_of
from support.receiving.messages import deliver

EVENTS_SUBSCRIPTION = 1


class Arrived(NamedTuple):
    """What the consumer got."""

    node_id: int | None
    """The sender; ``None`` when the receiver could not read it."""
    counted: int
    """The number of events that the receiver counted before the first malformed one."""
    is_intact: bool
    events: list[fastcoord.Event]
    """The events that passed the consumer's filter."""
    filtered: int


class _Rules:
    """Delivers every event that the receiver can read, and keeps what the receiver passed to it."""

    def __init__(self) -> None:
        self.scanned: tuple[int, int, bool] | None = None

    def without_header(self, node_id: int, counted: int, intact: bool) -> Verdict:
        self.scanned = (node_id, counted, intact)
        return Verdict(deliver=counted)

    def without_sender(self) -> Verdict:
        self.scanned = None
        return Verdict()


def arrive(
    payload: bytes,
    protocol: str,
    *,
    receiver_id: int,
    kinds: Iterable[type[fastcoord.Event]] | None = None,
    in_batches: bool = False,
) -> Arrived:
    """Send one message without a header through receiver, ring and cursor.

    :param payload: the message.
    :param protocol: of the receiving node.
    :param receiver_id: the receiving node's id, which must differ from the sender's.
    :param kinds: the event classes that the consumer wants.
    :param in_batches: take whole batches instead of single events.
    """
    rules = _Rules()
    receiver = Receiver(
        node_id=receiver_id,
        incarnation=1,
        protocol=protocol,
        deliver_own=False,
        rules=rules,
        on_request=_unexpected,
    )
    receiver.events_sid = EVENTS_SUBSCRIPTION
    ring = Ring(16, 1 << 20)
    receiver.add_ring(ring)
    deliver(receiver, EVENTS_SUBSCRIPTION, payload)
    cursor = Cursor(
        ring,
        protocol=protocol,
        kinds=kinds,
        as_notices=_unexpected,
        get_loop=_unexpected,
    )
    node_id, counted, intact = rules.scanned or (None, 0, False)
    events = _take_batches(cursor, node_id) if in_batches else _take_events(cursor)
    return Arrived(node_id, counted, intact, events, cursor.filtered)


def assert_arrives_as_the_reference_reads_it(
    payload: bytes,
    protocol: str,
    *,
    kinds: Collection[type[fastcoord.Event]] | None = None,
    in_batches: bool = False,
) -> None:
    """Compare the events that arrive from one message with those that the reference decodes.

    :raises AssertionError: they differ; the message contains the payload.
    """
    expected = by_reference(payload, protocol)
    readable = [event_of(event) for event in expected.events]
    wanted = [event for event in readable if kinds is None or type(event) in kinds]
    receiver = ((expected.node_id or 0) + 1) % (1 << 16)
    arrived = arrive(payload, protocol, receiver_id=receiver, kinds=kinds, in_batches=in_batches)
    assert arrived == (
        expected.node_id,
        len(readable),
        expected.offset is None,
        wanted,
        len(readable) - len(wanted),
    ), f"{protocol} {kinds} {payload.hex()}: {arrived}"
    assert_as_good_as_new(arrived.events, wanted, protocol)


def _take_events(cursor: Cursor) -> list[fastcoord.Event]:
    events: list[fastcoord.Event] = []
    while (event := cursor.take_event()) is not None:
        assert isinstance(event, fastcoord.Event)
        events.append(event)
    return events


def _take_batches(cursor: Cursor, node_id: int | None) -> list[fastcoord.Event]:
    events: list[fastcoord.Event] = []
    while (batch := cursor.take_batch()) is not None:
        assert isinstance(batch, fastcoord.Batch)
        assert batch.node_id == node_id
        events.extend(batch)
    return events


def _unexpected(*arguments: Any) -> NoReturn:
    raise AssertionError(f"an unexpected call with {arguments}")
