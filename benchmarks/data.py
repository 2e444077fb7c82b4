"""Seeded events with values as large as in a real cluster.

An account id is below a million, and most are small. A change id counts the changes of one account
and stays below some millions. ``wide`` events use every width that the protocol allows.
"""

from __future__ import annotations

import random
from typing import Any

import fastcoord
from fastcoord import AppEvent, Event, StateChange
from fastcoord.tuning.event_data import MAKERS, small, state_change

SEED = 20_240_229
BATCH = 100

COMMON_KINDS: dict[str, int] = {"StateChange": 40, "EmailPush": 15, "InvalidateAccessTokens": 6}


def wide_state_change(draw: random.Random) -> StateChange:
    """Draw an event with values of every width up to the largest."""
    return StateChange(small(draw, 32), small(draw, 64), small(draw, 64))


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
