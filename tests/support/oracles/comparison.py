"""Runs the compiled codec and the reference on one payload and compares the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import fastcoord
from support.oracles import reference
from support.oracles.guarded_memory import GuardedMemory

_guarded = GuardedMemory(1 << 20)


class Outcome(NamedTuple):
    """The result of decoding a payload."""

    node_id: int | None
    events: list[reference.Event]
    """All events, or those before the malformed one."""
    offset: int | None
    """The offset of the malformed byte; ``None`` for a well-formed batch."""


def by_reference(payload: bytes, protocol: str) -> Outcome:
    """Decode with the reference."""
    try:
        node_id, events = reference.decode_batch(payload, protocol)
    except reference.MalformedBatch as error:
        return Outcome(error.node_id, error.decoded, error.offset)
    return Outcome(node_id, events, None)


def by_fastcoord(payload: bytes, protocol: str) -> Outcome:
    """Decode with the compiled codec, which must not read beyond the payload."""
    node_id, events, offset = decode(payload, protocol)
    return Outcome(node_id, [plain(event) for event in events], offset)


def decode(
    payload: bytes, protocol: str
) -> tuple[int | None, tuple[fastcoord.Event, ...], int | None]:
    """Decode with the compiled codec and return the event objects.

    :return: the node id, the events, and the offset of the malformed byte.
    """
    try:
        batch = fastcoord.decode_batch(_guarded.place(payload), protocol=protocol)
    except fastcoord.DecodeError as error:
        return error.node_id, error.decoded, error.offset
    return batch.node_id, tuple(batch), None


def plain(event: fastcoord.Event) -> reference.Event:
    """Return an event as ``[type, fields]``."""
    fields: dict[str, Any] = fastcoord.to_builtins(event)
    return [fields.pop("type"), fields]


def event_of(event: reference.Event) -> fastcoord.Event:
    """Make the event that ``[type, fields]`` describes."""
    event_type, fields = event
    return fastcoord.from_builtins({"type": event_type, **fields})


def assert_same_outcome(payload: bytes, protocol: str) -> Outcome:
    """Decode with both codecs.

    :return: the common result.
    :raises AssertionError: the results differ; the message contains the payload.
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
    """Compare hashes and encodings of decoded events and of events made by a constructor.

    :raises AssertionError: a decoded event has another hash or another encoding.
    """
    assert [hash(event) for event in decoded] == [hash(event) for event in made], f"{decoded}"
    written = [
        fastcoord.encode_batch(events, node_id=1, protocol=protocol) for events in (decoded, made)
    ]
    assert written[0] == written[1], f"{decoded}"
