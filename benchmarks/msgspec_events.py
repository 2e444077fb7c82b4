"""The events as ``Struct`` types of msgspec, as compact and as fast as possible.

They are arrays instead of maps, are not tracked by the garbage collector, and have small integers
as tags if several kinds share a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Union

import msgspec

from fastcoord import Event, to_builtins
from fastcoord.wire.table import KINDS

TYPES: dict[str, Any] = {
    "i64 or none": int | None,
    "bool": bool,
    "str": str,
    "bytes": bytes,
    "list of u32": tuple[int, ...],
    "list of cache items": tuple[tuple[str | int, ...], ...],
}
"""By the type of a field in the table of events; all others are int."""

FIELDS: dict[str, list[tuple[str, Any]]] = {
    kind.name: [(field.name, TYPES.get(field.type, int)) for field in kind.fields] for kind in KINDS
}


class StateChange(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The struct without a tag, for batches of one kind."""

    account_id: int
    change_id: int
    types: int


TAGGED: dict[str, Any] = {
    name: msgspec.defstruct(name, fields, array_like=True, gc=False, frozen=True, tag=tag)
    for tag, (name, fields) in enumerate(FIELDS.items())
}

encoder = msgspec.msgpack.Encoder()
state_change_decoder = msgspec.msgpack.Decoder(StateChange)
state_changes_decoder = msgspec.msgpack.Decoder(list[StateChange])
mixed_decoder = msgspec.msgpack.Decoder(list[Union[tuple(TAGGED.values())]])  # noqa: UP007


def as_state_changes(events: Iterable[Any]) -> list[StateChange]:
    """Convert events to structs of one type."""
    return [StateChange(each.account_id, each.change_id, each.types) for each in events]


class AppEvent(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The struct without a tag, for messages of one kind."""

    kind: int
    payload: bytes


ALONE: dict[str, Any] = {"StateChange": StateChange, "AppEvent": AppEvent}


def as_structs(events: Iterable[Any]) -> list[Any]:
    """Convert events of one kind to structs."""
    return [
        ALONE[type(event).__name__](*(value for value in fields(event)[1:])) for event in events
    ]


def decoder(kind: str) -> Any:
    """Return a decoder of one event of a kind."""
    return msgspec.msgpack.Decoder(ALONE[kind])


def list_decoder(kind: str) -> Any:
    """Return a decoder of a list of events of a kind."""
    return msgspec.msgpack.Decoder(list[ALONE[kind]])


def as_tagged(events: Iterable[Event]) -> list[Any]:
    """Convert events to structs of a tagged union."""
    return [
        TAGGED[type(event).__name__](
            **{name: getattr(event, name) for name, _ in FIELDS[type(event).__name__]}
        )
        for event in events
    ]


def same(events: Iterable[Event], structs: Iterable[Any]) -> bool:
    """Return whether both have the same values."""
    return [fields(event) for event in events] == [fields(struct) for struct in structs]


def fields(event: Any) -> tuple[Any, ...]:
    """Return the kind and the values of an event or a struct."""
    name = type(event).__name__
    if isinstance(event, Event):
        assert to_builtins(event)["type"] == name
    return (name, *(getattr(event, field) for field, _ in FIELDS[name]))
