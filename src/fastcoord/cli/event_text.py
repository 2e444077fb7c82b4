"""Events and notices as text: ``StateChange account_id=7 change_id=42 types=Email,Mailbox``."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.events import AppEvent, DataType, ObjectType, to_builtins

if TYPE_CHECKING:
    import enum
    from collections.abc import Mapping

    from fastcoord.events import Event, Notice

__all__ = ["DATA_TYPES", "OBJECTS", "event_text", "notice_text", "payload_comment"]


def event_text(event: Event) -> str:
    """Write an event as the words that ``fastcoord publish`` takes, quoted for a shell.

    Data types and registry objects are written by name.

    :param event: the event.
    :return: the text, for example ``StateChange account_id=7 change_id=42 types=Email,Mailbox``.
    """
    plain = to_builtins(event)
    return _words(plain.pop("type"), plain)


def notice_text(notice: Notice) -> str:
    """Write a notice in the form of events, without its node and without fields that are ``None``.

    :param notice: the notice.
    :return: the text, for example ``Missed events=3 cause=gap``.
    """
    fields = msgspec.structs.asdict(notice)
    fields.pop("node_id", None)
    given = {name: value for name, value in fields.items() if value is not None}
    return _words(type(notice).__name__, given)


def payload_comment(event: Event) -> str:
    """Return the MessagePack map in the payload of an ``AppEvent``, as a shell comment.

    Programs define such events with ``fastcoord.event``; the command does not know their classes.

    :return: for example ``  # {"order":5}``; empty for any other event or payload.
    """
    if not isinstance(event, AppEvent):
        return ""
    try:
        fields = msgspec.msgpack.decode(event.payload)
        if not isinstance(fields, dict):
            return ""
        return f"  # {msgspec.json.encode(fields).decode()}"
    except (msgspec.MsgspecError, TypeError, ValueError):
        return ""


def names_of(kind: type[enum.Enum]) -> dict[str, int]:
    """Return the members of an enumeration by their names in text, such as ``EmailDelivery``."""
    return {
        "".join(word.capitalize() for word in name.split("_")): member.value
        for name, member in kind.__members__.items()
    }


DATA_TYPES = {bit: name for name, bit in names_of(DataType).items()}
OBJECTS = {number: name for name, number in names_of(ObjectType).items()}


def _words(kind: str, fields: Mapping[str, Any]) -> str:
    words = [f"{name}={shlex.quote(_value(name, value))}" for name, value in fields.items()]
    return " ".join([kind, *words])


def _value(name: str, value: Any) -> str:
    if name == "types":
        return _bits(value)
    if name == "object":
        return OBJECTS.get(value, str(value))
    if isinstance(value, str):
        is_plain = value.isprintable() and not value.startswith('"')
        return value if is_plain else json.dumps(value)
    if isinstance(value, list):
        return ",".join(_item(each) for each in value)
    return json.dumps(value)


def _bits(types: int) -> str:
    names = [name for bit, name in DATA_TYPES.items() if types & bit]
    unknown = types & ~sum(DATA_TYPES)
    return ",".join([*names, *([str(unknown)] if unknown or not names else [])])


def _item(item: Any) -> str:
    return ":".join(map(str, item)) if isinstance(item, list) else str(item)
