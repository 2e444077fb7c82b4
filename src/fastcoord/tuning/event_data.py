"""Seeded events with values as large as in a real cluster, and events that carry a number.

An account id is below a million, and most are small. A change id counts the changes of one account
and stays below some millions.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import fastcoord
from fastcoord import DataType, Event
from fastcoord.wire.table import KINDS, TAGS, Kind

__all__ = [
    "MAKERS",
    "NUMBERED_KINDS",
    "NumberedEvents",
    "event_sizes",
    "small",
    "state_change",
    "unsupported",
]

MAIL_ARRIVED = DataType.EMAIL | DataType.EMAIL_DELIVERY | DataType.MAILBOX | DataType.THREAD
COMMON_TYPES = (
    int(MAIL_ARRIVED),
    int(MAIL_ARRIVED),
    int(DataType.EMAIL | DataType.MAILBOX),
    int(DataType.EMAIL | DataType.MAILBOX),
    int(DataType.EMAIL),
    int(DataType.EMAIL_SUBMISSION | DataType.EMAIL),
    int(DataType.CALENDAR | DataType.CALENDAR_EVENT),
    int(DataType.CONTACT_CARD),
)
ITEM_NAMES = ("AccessToken", "DavResources", "Domain", "Account", "Role", "List")


def small(draw: random.Random, most_bits: int) -> int:
    """Draw a value below ``2 ** most_bits``; each width in bits is equally likely."""
    return draw.getrandbits(draw.randint(1, most_bits))


def state_change(draw: random.Random) -> Any:
    """Draw the most frequent event."""
    return fastcoord.StateChange(small(draw, 20), small(draw, 24), draw.choice(COMMON_TYPES))


def identifier(draw: random.Random) -> str:
    """Draw the identifier of a calendar entry."""
    return f"{draw.getrandbits(96):024x}@example.org"


def ids(draw: random.Random) -> list[int]:
    """Draw a few account ids."""
    return [small(draw, 20) for _ in range(draw.randint(1, 6))]


def item(draw: random.Random) -> tuple[Any, ...]:
    """Draw an item of CacheInvalidate."""
    if draw.random() < 0.1:
        return ("EmailNegative", small(draw, 20), small(draw, 32))
    return (draw.choice(ITEM_NAMES), small(draw, 20))


BY_NAME: dict[str, Callable[[random.Random], Any]] = {
    "account_id": lambda draw: small(draw, 20),
    "change_id": lambda draw: small(draw, 24),
    "types": lambda draw: draw.choice(COMMON_TYPES),
    "email_id": lambda draw: small(draw, 24),
    "recurrence_id": lambda draw: None if draw.random() < 0.5 else 1_700_000_000 + small(draw, 28),
    "alert_id": lambda draw: f"alert-{draw.randint(1, 9)}",
    "object": lambda draw: draw.randint(0, 100),
}
"""Fields whose values have a distribution of their own."""

BY_TYPE: dict[str, Callable[[random.Random], Any]] = {
    "u16": lambda draw: draw.randint(0, 500),
    "u32": lambda draw: small(draw, 20),
    "u64": lambda draw: small(draw, 40),
    "i64 or none": lambda draw: small(draw, 40),
    "bool": lambda draw: draw.random() < 0.5,
    "str": identifier,
    "bytes": lambda draw: draw.randbytes(draw.randint(8, 40)),
    "list of u32": ids,
    "list of cache items": lambda draw: [item(draw) for _ in range(draw.randint(1, 5))],
}
"""All other fields, by their type in the table of events."""


def maker(kind: Kind) -> Callable[[random.Random], Event]:
    """Return what draws an event of a kind of the table."""
    draws = [BY_NAME.get(field.name, BY_TYPE[field.type]) for field in kind.fields]
    make: Callable[..., Event] = getattr(fastcoord, kind.name)
    return lambda draw: make(*(each(draw) for each in draws))


MAKERS: dict[str, Callable[[random.Random], Event]] = {kind.name: maker(kind) for kind in KINDS}

CARRIERS: dict[str, tuple[str, Callable[[Any], int]]] = {
    "StateChange": ("change_id", lambda event: event.change_id),
    "CalendarAlert": ("event_id", lambda event: event.event_id),
    "EmailPush": ("change_id", lambda event: event.change_id),
    "PushServerUpdate": ("account_id", lambda event: event.account_id),
    "ReloadPushServers": ("account_id", lambda event: event.account_id),
    "RegistryInsert": ("id", lambda event: event.id),
    "RegistryDelete": ("id", lambda event: event.id),
    "CacheInvalidate": ("items", lambda event: event.items[0][1]),
    "InvalidateAccessTokens": ("account_ids", lambda event: event.account_ids[0]),
    "InvalidateGroupwareCache": ("account_ids", lambda event: event.account_ids[0]),
    "AppEvent": ("payload", lambda event: int.from_bytes(event.payload[:8], "big")),
}
"""The field of each kind that can carry a number, and how to read the number."""

NUMBERED_KINDS = tuple(CARRIERS)

SMALLEST_PAYLOAD = 8
TEMPLATES = 512
"""How many different events are drawn; each is used again and again with other numbers."""


class NumberedEvents:
    """Make the events of one publisher; each carries a number that is unique in the run.

    :param mix: the weight of each kind.
    :param payload_bytes: the size of the payload of ``AppEvent``, at least 8.
    :param seed: the same seed gives the same events.
    """

    def __init__(self, mix: dict[str, int], payload_bytes: int, seed: int) -> None:
        draw = random.Random(seed)
        kinds = draw.choices([*mix], [*mix.values()], k=TEMPLATES)
        # All templates share it: otherwise, payloads of 1 MB would take 512 MB.
        padding = draw.randbytes(max(0, payload_bytes - 8)) if "AppEvent" in mix else b""
        self._makers = [_numbered_maker(kind, padding, draw) for kind in kinds]

    def make(self, number: int) -> Event:
        """Make the event that carries a number."""
        return self._makers[number % TEMPLATES](number)

    @staticmethod
    def readers(mix: dict[str, int]) -> dict[type[Event], Callable[[Any], int]]:
        """Return how to read the number of an event, by its class."""
        return {getattr(fastcoord, kind): CARRIERS[kind][1] for kind in mix}


def _numbered_maker(kind: str, padding: bytes, draw: random.Random) -> Callable[[int], Event]:
    cls: Any = getattr(fastcoord, kind)
    field = CARRIERS[kind][0]
    if kind == "AppEvent":
        application = draw.randint(0, 500)
        return lambda number: cls(application, number.to_bytes(8, "big") + padding)
    example = MAKERS[kind](draw)
    names = [each.name for each in next(each for each in KINDS if each.name == kind).fields]
    values = {name: getattr(example, name) for name in names}
    if kind == "StateChange":  # the fastest way, because it is the most frequent kind
        account_id, types = values["account_id"], values["types"]
        return lambda number: cls(account_id, number, types)
    rest = values.pop(field)
    if field == "items":
        rest = [each for each in rest if each[0] != "EmailNegative"]
        return lambda number: cls(items=[("Domain", number), *rest[1:]])
    if field == "account_ids":
        return lambda number: cls(account_ids=[number, *rest[1:]])
    return lambda number: cls(**{field: number}, **values)


def event_sizes(mix: dict[str, int], payload_bytes: int, protocol: str, seed: int = 1) -> list[int]:
    """Return the sizes of typical events on the wire, with numbers of some millions.

    :param mix: the weight of each kind.
    :param payload_bytes: the size of the payload of ``AppEvent``.
    :param protocol: the protocol, which must have all kinds.
    """
    events = NumberedEvents(mix, SMALLEST_PAYLOAD, seed)
    sizes = []
    for number in range(TEMPLATES):
        event = events.make((1 << 21) + number)
        size = len(fastcoord.encode_batch([event], node_id=300, protocol=protocol)) - 2
        if isinstance(event, fastcoord.AppEvent):  # payloads of megabytes would take minutes
            size += payload_bytes - SMALLEST_PAYLOAD
            size += len_bytes(payload_bytes) - len_bytes(SMALLEST_PAYLOAD)
        sizes.append(size)
    return sizes


def len_bytes(length: int) -> int:
    """Return how many bytes the length of a payload takes on the wire."""
    return max(1, -(-length.bit_length() // 7))


def unsupported(mix: dict[str, int], protocol: str) -> list[str]:
    """Return the kinds of a mix that a protocol does not have."""
    return [kind for kind in mix if kind not in TAGS[protocol]]
