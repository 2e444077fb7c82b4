"""Seeded events with values as large as in a real cluster.

An account id is below a million, and most are small. A change id counts the changes of one account
and stays below some millions. ``wide`` events use every width that the protocol allows.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import fastcoord
from fastcoord import (
    AppEvent,
    CacheInvalidate,
    CacheInvalidateAll,
    CacheInvalidateNegative,
    CalendarAlert,
    DataType,
    EmailPush,
    Event,
    IndexQueueRefresh,
    InvalidateAccessTokens,
    InvalidateGroupwareCache,
    MtaQueueStatus,
    PushServerUpdate,
    QueueRefresh,
    RegistryDelete,
    RegistryInsert,
    RegistryReload,
    ReloadBlockedIps,
    ReloadPushServers,
    ReloadSettings,
    ReloadSpamFilter,
    StateChange,
    TaskQueueRefresh,
)

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


MAKERS: dict[type[Event], Callable[[random.Random], Event]] = {
    StateChange: state_change,
    CalendarAlert: lambda draw: CalendarAlert(
        small(draw, 20),
        small(draw, 20),
        None if draw.random() < 0.5 else 1_700_000_000 + small(draw, 28),
        identifier(draw),
        f"alert-{draw.randint(1, 9)}",
    ),
    EmailPush: lambda draw: EmailPush(small(draw, 20), small(draw, 24), small(draw, 24)),
    InvalidateAccessTokens: lambda draw: InvalidateAccessTokens(ids(draw)),
    InvalidateGroupwareCache: lambda draw: InvalidateGroupwareCache(ids(draw)),
    ReloadSettings: lambda draw: ReloadSettings(),
    ReloadBlockedIps: lambda draw: ReloadBlockedIps(),
    ReloadPushServers: lambda draw: ReloadPushServers(small(draw, 20)),
    ReloadSpamFilter: lambda draw: ReloadSpamFilter(),
    PushServerUpdate: lambda draw: PushServerUpdate(small(draw, 20)),
    RegistryInsert: lambda draw: RegistryInsert(draw.randint(0, 100), small(draw, 40)),
    RegistryDelete: lambda draw: RegistryDelete(draw.randint(0, 100), small(draw, 40)),
    RegistryReload: lambda draw: RegistryReload(draw.randint(0, 100)),
    CacheInvalidate: lambda draw: CacheInvalidate([item(draw) for _ in range(draw.randint(1, 5))]),
    CacheInvalidateAll: lambda draw: CacheInvalidateAll(),
    CacheInvalidateNegative: lambda draw: CacheInvalidateNegative(),
    MtaQueueStatus: lambda draw: MtaQueueStatus(draw.random() < 0.5),
    QueueRefresh: lambda draw: QueueRefresh(),
    TaskQueueRefresh: lambda draw: TaskQueueRefresh(),
    IndexQueueRefresh: lambda draw: IndexQueueRefresh(),
    AppEvent: lambda draw: AppEvent(draw.randint(0, 500), draw.randbytes(draw.randint(8, 40))),
}


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
    weights = [COMMON_KINDS.get(kind.__name__, 2) for kind in kinds]
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
