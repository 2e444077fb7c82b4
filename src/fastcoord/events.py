"""The public names of what travels: events, notices, and their plain forms for JSON."""

import base64
from typing import Any, Literal

import msgspec

from fastcoord.wire import events as _events
from fastcoord.wire.events import *  # noqa: F403  every class of the table
from fastcoord.wire.events import EVENT_TYPES as _EVENT_TYPES
from fastcoord.wire.events import AppEvent, Event
from fastcoord.wire.names import DataType, ObjectType

__all__ = [
    "DataType",
    "Disconnected",
    "DuplicateNodeId",
    "Missed",
    "Notice",
    "ObjectType",
    "PeerDown",
    "PeerUp",
    "ProtocolMismatch",
    "Reconnected",
    "from_builtins",
    "to_builtins",
]
__all__ += _events.__all__

Cause = Literal["gap", "overflow", "discarded", "disconnect", "undecodable"]


class Notice(msgspec.Struct, frozen=True):
    """The base of items of a subscription that are not events of other nodes."""


class Missed(Notice, frozen=True):
    """Events did not reach this subscription; a cache must drop entries that may be stale.

    It comes before newer events of the same node.

    :ivar node_id: the node whose events are missing; ``None`` when it is unknown.
    :ivar events: the number of missing events; ``None`` when it is unknown.
    :ivar cause: ``"gap"``: the network or the server lost them. ``"overflow"``: this subscription
        was too slow, or there was no memory to receive them. ``"discarded"``: their sender
        discarded them because its queue was full, or because they were too old. ``"disconnect"``:
        this node was not connected, and not every peer sends sequence headers.
        ``"undecodable"``: they arrived but cannot be decoded.
    """

    node_id: int | None
    events: int | None
    cause: Cause


class PeerUp(Notice, frozen=True):
    """A peer that sends sequence headers was received first, or again after ``PeerDown``."""

    node_id: int


class PeerDown(Notice, frozen=True):
    """A peer closed, or sent nothing for three heartbeats."""

    node_id: int
    goodbye: bool
    """Whether the peer announced its end."""


class Disconnected(Notice, frozen=True):
    """This node has lost its connection and tries to connect again."""

    reason: str


class Reconnected(Notice, frozen=True):
    """This node is connected again. What it has missed meanwhile is reported as ``Missed``."""

    server: str
    """The address of the server."""


class DuplicateNodeId(Notice, frozen=True):
    """Two running nodes use one node id; they skip each other's events until one is changed."""

    node_id: int


class ProtocolMismatch(Notice, frozen=True):
    """A peer uses another protocol on the same subject.

    It is delivered once for each peer, on both sides. The events of that peer cannot be read; each
    batch is reported as ``Missed`` with the cause ``"undecodable"``.
    """

    node_id: int
    protocol: str
    """The peer's protocol, such as ``"stalwart-0.16"``."""


for _kind in (DataType, ObjectType, Notice, *Notice.__subclasses__()):
    # The place from which programs import them, and where pickle looks for them.
    _kind.__module__ = "fastcoord"

_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in _EVENT_TYPES if kind is not None}


def to_builtins(event: Event) -> dict[str, Any]:
    """Give an event as plain values that any JSON encoder takes.

    :param event: any event.
    :return: ``{"type": "StateChange", "account_id": 7, …}``: the fields in the names of the wire
        tables; lists as lists, items of ``CacheInvalidate`` as ``["Domain", 5]``, the payload of
        ``AppEvent`` as base64 text.
    :raises TypeError: the argument is not an event.
    """
    if not isinstance(event, Event):
        raise TypeError(f"not an event: {type(event).__name__} ({event!r:.60})")
    plain: dict[str, Any] = {"type": type(event).__name__}
    for name in type(event).__match_args__:
        value = getattr(event, name)
        if isinstance(value, tuple):
            value = [list(item) if isinstance(item, tuple) else item for item in value]
        elif isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        plain[name] = value
    return plain


def from_builtins(plain: dict[str, Any]) -> Event:
    """Make an event from what ``to_builtins`` gave.

    :param plain: a mapping with ``type`` and exactly the fields of that type.
    :return: the event.
    :raises TypeError: it is not a mapping, a field is missing, unknown or of the wrong type.
    :raises ValueError: there is no such type, or a value is out of range.
    """
    if not isinstance(plain, dict):
        raise TypeError(f"an event must be a mapping with a type, not {type(plain).__name__}")
    fields = dict(plain)
    name = fields.pop("type", None)
    kind = _TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"there is no event type {name!r}; there are {', '.join(sorted(_TYPES))}")
    wanted = kind.__match_args__
    if set(fields) != set(wanted):
        missing = sorted(set(wanted) - set(fields))
        unknown = sorted(map(str, set(fields) - set(wanted)))
        raise TypeError(
            f"{name} takes the fields {', '.join(wanted) or 'none'}"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        )
    if kind is AppEvent and isinstance(fields["payload"], str):
        try:
            fields["payload"] = base64.b64decode(fields["payload"], validate=True)
        except ValueError as error:
            raise ValueError(f"AppEvent.payload must be base64 text: {error}") from None
    return kind(**fields)
