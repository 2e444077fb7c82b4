"""Parse events from the words of a command line. ``event_text`` does the reverse."""

from __future__ import annotations

import base64
import difflib
import json
from typing import TYPE_CHECKING, Any

from fastcoord import events
from fastcoord.cli.event_text import DATA_TYPES, OBJECTS
from fastcoord.wire.table import KINDS, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastcoord.events import Event

__all__ = ["KINDS_BY_NAME", "parse_event"]

KINDS_BY_NAME = {kind.name: kind for kind in KINDS}


def parse_event(words: Sequence[str]) -> Event:
    """Parse an event.

    :param words: the name of the kind and ``field=value`` for each field. The items of a
        list are separated by commas. A cache item is written as ``Domain:5``. Bytes are base64,
        ``hex:…`` or ``text:…``.
    :return: the event.
    :raises ValueError: there is no such kind, or a field or a value is wrong.
    """
    name, *assignments = words
    kind = KINDS_BY_NAME.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, KINDS_BY_NAME, n=1)
        hint = f", did you mean {near[0]}?" if near else f": choose from {', '.join(KINDS_BY_NAME)}"
        raise ValueError(f"there is no event {name!r}{hint}")
    fields = {field.name: field for field in kind.fields}
    values: dict[str, Any] = {}
    for assignment in assignments:
        field, equals, text = assignment.partition("=")
        if not equals or field not in fields:
            known = ", ".join(f"{each}=…" for each in fields) or "no fields"
            raise ValueError(f"{name}: {assignment!r} was given; the event takes {known}")
        if field in values:
            raise ValueError(f"{name}: {field} was given twice")
        try:
            values[field] = _parse_value(field, fields[field].type, text)
        except ValueError as error:
            raise ValueError(f"{name}: {field}: {text!r} was given; {error}") from None
    missing = [
        field.name
        for field in kind.fields
        if field.name not in values and field.default is REQUIRED
    ]
    if missing:
        raise ValueError(f"{name}: missing {', '.join(f'{each}=…' for each in missing)}")
    event: Event = getattr(events, name)(**values)
    return event


def _parse_value(field: str, kind: str, text: str) -> Any:
    if field == "types":
        return _parse_bits(text)
    if field == "object":
        return _parse_object(text)
    return _PARSERS[kind](text)


def _parse_bits(text: str) -> int:
    bits = {name: bit for bit, name in DATA_TYPES.items()}
    types = 0
    for name in filter(None, text.split(",")):
        types |= _by_name(name, bits, "data type")
    return types


def _parse_object(text: str) -> int:
    return _by_name(text, {name: number for number, name in OBJECTS.items()}, "object")


def _by_name(text: str, numbers: dict[str, int], what: str) -> int:
    """Return the number of a name; a number stands for itself."""
    try:
        return numbers[text] if text in numbers else _integer(text)
    except ValueError:
        names = {name.lower(): name for name in numbers}
        near = difflib.get_close_matches(text.lower(), names, n=1)
        choices = f": choose from {', '.join(numbers)}, or a number"
        hint = f", did you mean {names[near[0]]}?" if near else choices
        raise ValueError(f"there is no {what} {text!r}{hint}") from None


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError("a whole number is needed") from None


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("allowed are true and false")
    return text == "true"


def _string(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        raise ValueError("the quoted text is not a JSON string") from None


def _bytes(text: str) -> bytes:
    form, colon, rest = text.partition(":")
    if colon and form == "text":
        return rest.encode()
    try:
        if colon and form == "hex":
            return bytes.fromhex(rest)
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("allowed are base64, hex:… and text:…") from None


def _items(text: str) -> list[tuple[Any, ...]]:
    parts = [item.split(":") for item in text.split(",") if item]
    return [(name, *map(_integer, ids)) for name, *ids in parts]


_PARSERS: dict[str, Callable[[str], Any]] = {
    "u16": _integer,
    "u32": _integer,
    "u64": _integer,
    "i64 or none": lambda text: None if text in ("null", "none") else _integer(text),
    "bool": _boolean,
    "str": _string,
    "bytes": _bytes,
    "list of u32": lambda text: [_integer(each) for each in text.split(",") if each],
    "list of cache items": _items,
}
