"""Convert, merge and select the notices of one subscription."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastcoord.errors import UnsupportedEvent
from fastcoord.events import (
    Disconnected,
    DuplicateNodeId,
    Event,
    Missed,
    Notice,
    PeerDown,
    PeerUp,
    ProtocolMismatch,
    Reconnected,
)
from fastcoord.wire.event_classes import EventClass
from fastcoord.wire.table import PROTOCOLS, TAGS
from fastcoord.wire.typed import class_of

__all__ = [
    "Kinds",
    "fold",
    "overflow_notices",
    "refuse_missing",
    "split_kinds",
    "unwanted_notices",
]

Kinds = Iterable[EventClass]

MAX_FOLDED = 4096
"""The most merged notices that ``fold`` keeps before it merges losses of different nodes."""


def split_kinds(
    kinds: Kinds | None,
) -> tuple[list[type[Event]] | None, list[type[Notice]]]:
    """Separate event classes from notice classes; ``None`` stands for all events.

    :raises TypeError: ``kinds`` holds something that is not a class.
    """
    if kinds is None:
        return None, []
    if isinstance(kinds, str | Event | Notice):
        raise TypeError(f"kinds must be a list of event classes, {remedy(kinds)}")
    chosen: list[Any] = [kinds] if isinstance(kinds, type) else list(kinds)
    for kind in chosen:
        if not isinstance(kind, type):
            raise TypeError(f"kinds must hold event classes, {remedy(kind)}")
    notices = [kind for kind in chosen if issubclass(kind, Notice)]
    return [kind for kind in chosen if kind not in notices], notices


def unwanted_notices(
    asked: Iterable[type[Notice]], *, peers: bool, connection: bool
) -> tuple[type[Notice], ...]:
    """Return the notice classes that a subscription does not deliver.

    :param asked: the notice classes in ``kinds``.
    """
    optional: list[type[Notice]] = [] if peers else [PeerUp, PeerDown]
    optional += [] if connection else [Disconnected, Reconnected]
    chosen = tuple(asked)
    return tuple(kind for kind in optional if kind not in chosen)


def refuse_missing(kinds: Iterable[type[Event]], protocol: str) -> None:
    """Refuse event classes that a protocol does not have.

    :raises UnsupportedEvent: one of them would never arrive.
    """
    for kind in kinds:
        sent_as = kind.__name__ if class_of(kind) is None else "AppEvent"
        if kind is Event or sent_as in TAGS[protocol]:
            continue
        having = [name for name in PROTOCOLS if sent_as in TAGS[name]]
        what = "it" if sent_as == kind.__name__ else f"it is sent as {sent_as}, which"
        raise UnsupportedEvent(
            f"{kind.__name__} in kinds would never arrive: {what} does not exist in the protocol"
            f" {protocol} (cluster.protocol); {' and '.join(having)}"
            f" {'has' if len(having) == 1 else 'have'} it"
        )


def remedy(value: object) -> str:
    """Return the part of an error message that names the wrong value and the right form."""
    if isinstance(value, Event | Notice):
        name = type(value).__name__
        return f"not the event {value!r:.60}: write kinds=[{name}]"
    return f"such as kinds=[StateChange], not {value!r:.60}"


def overflow_notices(dropped: Mapping[int | None, int | None]) -> list[Notice]:
    """Return a ``Missed`` for each node of which a ring has dropped events."""
    return [Missed(node_id, events, "overflow") for node_id, events in dropped.items()]


def fold(carried: dict[object, Notice], notice: Notice | Mapping[int | None, int | None]) -> None:
    """Add a notice to ``carried``; merge it with the notice of the same subject, if there is one.

    The ring calls this when it needs the slot of the notice.
    """
    if not isinstance(notice, Notice):
        for each in overflow_notices(notice):
            fold(carried, each)
    elif isinstance(notice, Missed):
        key = (notice.node_id, notice.cause)
        if len(carried) >= MAX_FOLDED and key not in carried:
            # There are too many nodes to list all of them.
            key = (None, notice.cause)
            notice = Missed(None, None, notice.cause)
        before = carried.get(key)
        events, messages = notice.events, notice.messages
        if isinstance(before, Missed):
            unknown = before.events is None or events is None
            events = None if unknown else before.events + events  # type: ignore[operator]
            unknown = before.messages is None or messages is None
            messages = None if unknown else before.messages + messages  # type: ignore[operator]
        carried[key] = Missed(notice.node_id, events, notice.cause, messages)
    elif isinstance(notice, PeerUp | PeerDown):
        # Only the last state of a peer matters.
        carried.pop(("peer", notice.node_id), None)
        carried[("peer", notice.node_id)] = notice
    elif isinstance(notice, Disconnected | Reconnected):
        # Only the last state of the connection matters.
        carried.pop("connection", None)
        carried["connection"] = notice
    elif isinstance(notice, DuplicateNodeId | ProtocolMismatch):
        carried[(type(notice), notice.node_id)] = notice
    else:
        carried[object()] = notice
