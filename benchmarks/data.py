"""Seeded events with values as large as in a real cluster.

An account id is below a million, and most are small. A change id counts the changes of one account
and stays below some millions. ``wide`` events use every width that the protocol allows.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import fastcoord
from fastcoord import AppEvent, DataType, Event, StateChange
from fastcoord.wire.table import KINDS, Kind

SEED = 20_240_229
BATCH = 100

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
COMMON_KINDS: dict[str, int] = {"StateChange": 40, "EmailPush": 15, "InvalidateAccessTokens": 6}


def small(draw: random.Random, most_bits: int) -> int:
    """Draw a value below ``2 ** most_bits``; each width in bits is equally likely."""
    return draw.getrandbits(draw.randint(1, most_bits))


def state_change(draw: random.Random) -> StateChange:
    """Draw the most frequent event."""
    return StateChange(small(draw, 20), small(draw, 24), draw.choice(COMMON_TYPES))


def wide_state_change(draw: random.Random) -> StateChange:
    """Draw an event with values of every width up to the largest."""
    return StateChange(small(draw, 32), small(draw, 64), small(draw, 64))


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


def state_changes(count: int = BATCH, seed: int = SEED) -> list[StateChange]:
    """Return ``count`` events of the most frequent kind, the same ones at each call."""
    draw = random.Random(seed)
    return [state_change(draw) for _ in range(count)]


def wide_state_changes(count: int = BATCH, seed: int = SEED) -> list[StateChange]:
    """Return ``count`` events with values of every width, the same ones at each call."""
    draw = random.Random(seed)
    return [wide_state_change(draw) for _ in range(count)]


def mixed(count: int = BATCH, seed: int = SEED) -> list[Event]:
    """Return ``count`` events of all kinds, the common ones more often."""
    draw = random.Random(seed)
    kinds = [*MAKERS]
    weights = [COMMON_KINDS.get(kind, 2) for kind in kinds]
    chosen = [*kinds, *draw.choices(kinds, weights, k=max(0, count - len(kinds)))][:count]
    draw.shuffle(chosen)
    return [MAKERS[kind](draw) for kind in chosen]


def evenly_mixed(count: int = BATCH, seed: int = SEED) -> list[Event]:
    """Return ``count`` events, each kind equally likely."""
    draw = random.Random(seed)
    kinds = [*MAKERS]
    return [MAKERS[draw.choice(kinds)](draw) for _ in range(count)]


def numbered(count: int, start: int = 0) -> list[StateChange]:
    """Return events with consecutive change ids, of 9 bytes each on the wire.

    The account id is derived from the change id, so that a receiver can distinguish all events.
    """
    return [
        StateChange((1 << 15) + number % 30_011, (1 << 21) + number, 27)
        for number in range(start, start + count)
    ]


def payload(events: list[Any], protocol: str = "fastcoord-1", node_id: int = 2) -> bytes:
    """Encode events as the batch of another node."""
    return fastcoord.encode_batch(events, node_id=node_id, protocol=protocol)


def numbered_app_events(count: int, start: int = 0) -> list[AppEvent]:
    """Return numbered events, each so large that a batch of 64 bytes holds only one."""
    return [
        AppEvent(number % 500, number.to_bytes(4, "big") * 10)
        for number in range(start, start + count)
    ]
