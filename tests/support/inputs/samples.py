"""Events of every kind of the table, with small values and with the edges of their fields."""

from __future__ import annotations

from typing import Any

import fastcoord
from fastcoord import Event
from fastcoord.wire.table import KINDS, TAGS

U32, U64 = (1 << 32) - 1, (1 << 64) - 1

VALUES: dict[str, tuple[Any, Any]] = {
    "u16": (2, 65535),
    "u32": (7, U32),
    "u64": (42, U64),
    "i64 or none": (None, -1),
    "bool": (True, False),
    "str": ("", "Besprechung – 会議\r\n\0"),
    "bytes": (b"", b"\x00\xff\r\nPING\r\n"),
    "list of u32": ((), (1, 128, U32)),
    "list of cache items": ((), (("Domain", 5), ("EmailNegative", 5, 9), ("DomainNegative", 0))),
}
"""Two values of each type of field."""


def every_kind(names: tuple[str, ...]) -> list[Event]:
    """Return the samples of these kinds: two of a kind that has fields."""
    return [
        getattr(fastcoord, kind.name)(*(VALUES[field.type][which] for field in kind.fields))
        for kind in KINDS
        if kind.name in names
        for which in range(2 if kind.fields else 1)
    ]


def samples(protocol: str) -> list[Event]:
    """Return the samples that a protocol can carry, which include every kind it has."""
    return every_kind(TAGS[protocol])
