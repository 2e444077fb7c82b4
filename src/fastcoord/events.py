"""The public names of events and notices, and the conversion of events for JSON."""

import base64
from typing import Any, Literal

import msgspec

from fastcoord.wire import events as _events
from fastcoord.wire.event_classes import Publishable, event
from fastcoord.wire.events import *  # noqa: F403  every class of the table
from fastcoord.wire.events import EVENT_TYPES as _EVENT_TYPES
from fastcoord.wire.events import AppEvent, Event
from fastcoord.wire.names import DataType, ObjectType
from fastcoord.wire.typed import class_of, class_of_kind

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
    "event",
    "from_builtins",
    "to_builtins",
]
__all__ += _events.__all__

Cause = Literal["gap", "overflow", "discarded", "disconnect", "undecodable", "retention"]


class Notice(msgspec.Struct, frozen=True):
    """The base class of the items of a subscription that are not events."""


class Missed(Notice, frozen=True):
    """Events did not reach this subscription. A cache must drop the entries that may be stale.

    The notice is delivered before newer events of the same node.

    :ivar node_id: the node whose events are missing; ``None`` if the node is unknown.
    :ivar events: the number of missing events; ``None`` if the number is unknown.
    :ivar cause: ``"gap"``: the network or the server lost the events. ``"overflow"``: the program
        read this subscription too slowly, or this node had no memory for the events.
        ``"discarded"``: the sender discarded the events, because its queue was full or the events
        were too old. ``"disconnect"``: this node was not connected, and not every peer sends
        sequence headers. ``"undecodable"``: the events arrived, but cannot be decoded.
        ``"retention"``: the stream had dropped the messages before this node received them.
    :ivar messages: with the cause ``"retention"``, the number of messages that the stream has
        dropped; ``None`` if the number is unknown, and with every other cause. A message holds
        one event or more.
    """

    node_id: int | None
    events: int | None
    cause: Cause
    messages: int | None = None

    # A pattern such as ``Missed(node_id, events, cause)`` matches by position.
    __match_args__ = ("node_id", "events", "cause")


class PeerUp(Notice, frozen=True):
    """The first message of a peer arrived, or its first message after ``PeerDown``.

    Only peers that send sequence headers are reported.
    """

    node_id: int


class PeerDown(Notice, frozen=True):
    """A peer closed, or sent nothing for three heartbeats."""

    node_id: int
    goodbye: bool
    """Whether the peer announced that it closes."""


class Disconnected(Notice, frozen=True):
    """This node has lost its connection and tries to connect again."""

    reason: str


class Reconnected(Notice, frozen=True):
    """This node is connected again. Events that it has missed are reported as ``Missed``."""

    server: str
    """The address of the server."""


class DuplicateNodeId(Notice, frozen=True):
    """Two running nodes use the same node id. Each one drops the events of the other one."""

    node_id: int


class ProtocolMismatch(Notice, frozen=True):
    """A peer uses another protocol on the same subject.

    Both nodes deliver the notice, once for each peer. The events of that peer cannot be decoded.
    Each of its batches is reported as ``Missed`` with the cause ``"undecodable"``.
    """

    node_id: int
    protocol: str
    """The peer's protocol, such as ``"stalwart-0.16"``."""


for _kind in (DataType, ObjectType, Notice, *Notice.__subclasses__()):
    # Programs and pickle import the classes from the package.
    _kind.__module__ = "fastcoord"

_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in _EVENT_TYPES if kind is not None}


def to_builtins(event: Publishable) -> dict[str, Any]:
    """Convert an event to plain values that any JSON encoder accepts.

    :param event: any event.
    :return: a dict such as ``{"type": "StateChange", "account_id": 7, …}``, with the names of the
        event's fields. Tuples become lists: an item of ``CacheInvalidate`` is ``["Domain", 5]``.
        The payload of ``AppEvent`` becomes base64 text. An instance of the program's event classes
        becomes ``{"type": "OrderShipped", "kind": 7, "fields": {…}}``, with the fields as by
        ``msgspec.to_builtins``.
    :raises TypeError: the argument is not an event.
    """
    if not isinstance(event, Event):
        found = class_of(type(event))
        if found is None:
            raise TypeError(f"not an event: {type(event).__name__} ({event!r:.60})")
        fields = msgspec.to_builtins(event, str_keys=True)
        return {"type": type(event).__name__, "kind": found.kind, "fields": fields}
    plain: dict[str, Any] = {"type": type(event).__name__}
    for name in type(event).__match_args__:
        value = getattr(event, name)
        if isinstance(value, tuple):
            value = [list(item) if isinstance(item, tuple) else item for item in value]
        elif isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        plain[name] = value
    return plain


def from_builtins(plain: dict[str, Any]) -> Publishable:
    """Convert a result of ``to_builtins`` back to the event.

    :param plain: a dict with ``type`` and exactly the fields of that event type.
    :return: the event: an ``Event``, or an instance of the program's event class of the kind.
    :raises TypeError: ``plain`` is not a dict, or a field is missing, unknown or of the wrong type.
    :raises ValueError: the event type is unknown, or a value is out of range.
    """
    if not isinstance(plain, dict):
        raise TypeError(f"an event must be a mapping with a type, not {type(plain).__name__}")
    fields = dict(plain)
    name = fields.pop("type", None)
    if set(fields) == {"kind", "fields"} and isinstance(fields["kind"], int):
        return _typed_from_builtins(name, fields["kind"], fields["fields"])
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


def _typed_from_builtins(name: object, kind: int, fields: Any) -> Publishable:
    found = class_of_kind(kind)
    if found is None or found.type.__name__ != name:
        raise ValueError(f"there is no event class {name!r} with kind {kind} in this program")
    try:
        converted: Publishable = msgspec.convert(fields, found.type)
    except msgspec.ValidationError as error:
        raise TypeError(f"{name}: {error}") from None
    return converted
