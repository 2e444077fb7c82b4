"""Runs the compiled codec and the reference on one payload, and says where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import fastcoord
from support.oracles import reference
from support.oracles.guarded_memory import GuardedMemory

_guarded = GuardedMemory(1 << 20)


class Outcome(NamedTuple):
    """What a codec made of a payload."""

    node_id: int | None
    events: list[reference.Event]
    """All of them, or those before the malformed one."""
    offset: int | None
    """The byte to blame; ``None`` for a well-formed batch."""


def by_reference(payload: bytes, protocol: str) -> Outcome:
    """Decode with the oracle."""
    try:
        node_id, events = reference.decode_batch(payload, protocol)
    except reference.MalformedBatch as error:
        return Outcome(error.node_id, error.decoded, error.offset)
    return Outcome(node_id, events, None)


def by_fastcoord(payload: bytes, protocol: str) -> Outcome:
    """Decode with the compiled codec, which may not read a byte behind the payload."""
    node_id, events, offset = decode(payload, protocol)
    return Outcome(node_id, [plain(event) for event in events], offset)


def decode(
    payload: bytes, protocol: str
) -> tuple[int | None, tuple[fastcoord.Event, ...], int | None]:
    """Do the same, and give the events themselves."""
    try:
        batch = fastcoord.decode_batch(_guarded.place(payload), protocol=protocol)
    except fastcoord.DecodeError as error:
        return error.node_id, error.decoded, error.offset
    return batch.node_id, tuple(batch), None


def plain(event: fastcoord.Event) -> reference.Event:
    """Give an event as ``[type, fields]``."""
    fields: dict[str, Any] = fastcoord.to_builtins(event)
    return [fields.pop("type"), fields]


def event_of(event: reference.Event) -> fastcoord.Event:
    """Make the event that ``[type, fields]`` describes."""
    event_type, fields = event
    return fastcoord.from_builtins({"type": event_type, **fields})


def assert_same_outcome(payload: bytes, protocol: str) -> Outcome:
    """Decode with both codecs.

    :return: what both made of it.
    :raises AssertionError: they differ; the message holds the payload.
    """
    expected = by_reference(payload, protocol)
    found = by_fastcoord(payload, protocol)
    assert found == expected, (
        f"{protocol} {payload.hex()}:\n  the reference: {expected}\n  fastcoord:     {found}"
    )
    return expected


def assert_as_good_as_new(
    decoded: Sequence[fastcoord.Event], made: Sequence[fastcoord.Event], protocol: str
) -> None:
    """Compare what equal events must share, whether they were decoded or made.

    :raises AssertionError: a decoded event has another hash, or cannot be sent on.
    """
    assert [hash(event) for event in decoded] == [hash(event) for event in made], f"{decoded}"
    written = [
        fastcoord.encode_batch(events, node_id=1, protocol=protocol) for events in (decoded, made)
    ]
    assert written[0] == written[1], f"{decoded}"
