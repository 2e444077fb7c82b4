"""Events as text, in the form that ``fastcoord publish`` takes: ``StateChange account_id=7``."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fastcoord.events import DataType, ObjectType, to_builtins

if TYPE_CHECKING:
    import enum

    from fastcoord.events import Event

__all__ = ["event_text", "names_of"]

_PLAIN = re.compile(r"[^\s\"'\\,\[\]{}]+")


def event_text(event: Event) -> str:
    """Write an event as one line of text, with the names of data types and registry objects.

    :param event: the event.
    :return: the text, for example ``StateChange account_id=7 change_id=42 types=Email,Mailbox``.
    """
    plain = to_builtins(event)
    words = [plain.pop("type")]
    words += [f"{name}={_value(name, value)}" for name, value in plain.items()]
    return " ".join(words)


def names_of(kind: type[enum.Enum]) -> dict[str, int]:
    """Return the members of an enumeration by their names in text, such as ``EmailDelivery``."""
    return {
        "".join(word.capitalize() for word in name.split("_")): member.value
        for name, member in kind.__members__.items()
    }


_TYPES = {bit: name for name, bit in names_of(DataType).items()}
_OBJECTS = {number: name for name, number in names_of(ObjectType).items()}


def _value(name: str, value: Any) -> str:
    if name == "types":
        return _bits(value)
    if name == "object":
        return _OBJECTS.get(value, str(value))
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ",".join(_item(each) for each in value)
    return json.dumps(value)


def _bits(types: int) -> str:
    names = [name for bit, name in _TYPES.items() if types & bit]
    unknown = types & ~sum(_TYPES)
    return ",".join([*names, *([str(unknown)] if unknown or not names else [])])


def _item(item: Any) -> str:
    return ":".join(map(str, item)) if isinstance(item, list) else str(item)
