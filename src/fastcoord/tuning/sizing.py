"""Work out capacities by arithmetic. ``docs/sizing.md`` explains the formulas.

The names of the steps are those of the page. Each capacity is the need times :data:`MARGIN`,
rounded up, and never smaller than the present value, unless the memory limit requires it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.config._settings import LARGEST_BYTES
from fastcoord.config._values import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastcoord.tuning.workload import Workload

__all__ = [
    "DEFAULT_MAX_AGE",
    "MARGIN",
    "SMALLEST",
    "SMALLEST_BATCH_BYTES",
    "Needs",
    "Sizing",
    "fits",
    "keep_memory_limit",
    "memory_bound",
    "memory_text",
    "needs",
    "rounded_up",
    "size_up",
    "smallest_batch",
    "smallest_settings",
]

MARGIN = 1.5
"""By how much a recommended capacity exceeds the need."""

MESSAGE_BYTES = 3
"""The bytes of a payload that are not events: those of the largest node id."""

BUFFERED_BYTES = 75
"""The memory of a buffered message besides its payload."""

QUEUED_BYTES = 250
"""The memory of a sealed batch besides its payload."""

LONGEST_BACKOFF = 4.0
"""The longest wait between two attempts to reconnect, in seconds."""

DEFAULT_MAX_AGE = 60.0
SMALLEST_BATCH_BYTES = 1024
LARGEST = {
    "capacity.subscription": LARGEST_COUNT,
    "capacity.subscription-bytes": LARGEST_BYTES,
    "capacity.client": LARGEST_COUNT,
}
"""The largest values that a configuration accepts."""

SMALLEST = {
    "capacity.subscription-bytes": 1 << 20,
    "capacity.subscription": 1024,
    "capacity.client": 1024,
}
"""A memory limit reduces no capacity below these values."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a load needs, step by step.

    :ivar together: events that the program publishes before it returns to its event loop.
    :ivar events_per_message: events in a message.
    :ivar message_bytes: bytes in the payload of a message.
    :ivar messages_per_second: messages that a subscriber receives in a second.
    :ivar sent_per_second: messages that one publisher sends in a second.
    :ivar burst: messages of the events that one publisher has at the same time.
    :ivar reconnect: seconds until the publishers have reconnected after the outage, at most.
    :ivar subscription: messages that wait in a subscription at the end of the stall.
    :ivar subscription_bytes: bytes of their payloads.
    :ivar client: batches that wait in a publisher at the end of the outage.
    :ivar batch_bytes: the smallest ``capacity.batch-bytes`` that holds the largest event.
    :ivar max_age: seconds that the oldest event waits.
    """

    together: int = 1
    events_per_message: float
    message_bytes: float
    messages_per_second: float
    sent_per_second: float
    burst: int = 1
    reconnect: float
    subscription: float
    subscription_bytes: float
    client: float
    max_age: float
    batch_bytes: int = 0


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """Capacities for a load.

    :ivar settings: every capacity, by its key.
    :ivar max_age: ``cluster.max-age`` in seconds if the present one is too short, or ``None``.
    :ivar memory: the most bytes that the queues of a node with one subscription can use.
    :ivar problems: why the load cannot be carried, or the memory limit cannot be kept.
    """

    needs: Needs
    settings: dict[str, Any]
    max_age: float | None
    memory: int
    problems: list[str]


def needs(workload: Workload, batch_bytes: int) -> Needs:
    """Work out what a load needs.

    :param batch_bytes: ``capacity.batch-bytes``.
    """
    load = workload.load
    rate = load.rate or 0.0
    size = workload.event_bytes
    together = 1 if load.style == "lone" else load.group
    per_message = max(1, min(together, int((batch_bytes - MESSAGE_BYTES) // size)))
    messages = rate / per_message
    sent = messages / load.publishers
    # All publishers may have a burst at the same time; each burst is load.group events.
    burst = math.ceil(load.group / per_message)
    reconnect = min(LONGEST_BACKOFF, workload.outage)
    stall = 0.0 if workload.stream_keeps_stall else workload.stall
    waiting = messages * stall + burst * load.publishers
    message_bytes = per_message * size + MESSAGE_BYTES
    bridged = workload.outage + reconnect
    return Needs(
        together=together,
        events_per_message=per_message,
        message_bytes=message_bytes,
        messages_per_second=messages,
        sent_per_second=sent,
        burst=burst,
        reconnect=reconnect,
        subscription=waiting,
        subscription_bytes=waiting * message_bytes,
        client=sent * bridged + burst,
        max_age=bridged,
        batch_bytes=smallest_batch(workload),
    )


def smallest_batch(workload: Workload) -> int:
    """Return the smallest power of two that holds a batch with the largest event."""
    return 1 << (max(1, workload.largest_event) + MESSAGE_BYTES - 1).bit_length()


def fits(workload: Workload, settings: Mapping[str, Any]) -> bool:
    """Return whether a batch holds the largest event."""
    return workload.largest_event + MESSAGE_BYTES <= int(settings["capacity.batch-bytes"])


def size_up(
    workload: Workload, present: Mapping[str, Any], present_max_age: float = DEFAULT_MAX_AGE
) -> Sizing:
    """Work out the capacities for a load.

    :param present: the present capacities; one that suffices is kept.
    :param present_max_age: the present ``cluster.max-age`` in seconds.
    """
    settings = dict(present)
    if not fits(workload, settings):
        settings["capacity.batch-bytes"] = smallest_batch(workload)
    need = needs(workload, settings["capacity.batch-bytes"])
    problems = []
    for key, value in (
        ("capacity.subscription", need.subscription),
        ("capacity.subscription-bytes", need.subscription_bytes),
        ("capacity.client", need.client),
    ):
        wanted = rounded_up(value * MARGIN)
        if wanted > LARGEST[key]:
            problems.append(
                f"{key} would have to be {wanted:,}, and at most {LARGEST[key]:,} is valid"
            )
        settings[key] = max(settings[key], min(wanted, LARGEST[key]))
    problems += keep_memory_limit(workload.memory, settings, smallest_settings(need))
    max_age = None
    if need.max_age * MARGIN > present_max_age:
        max_age = float(math.ceil(need.max_age * MARGIN))
    return Sizing(
        needs=need,
        settings=settings,
        max_age=max_age,
        memory=memory_bound(settings),
        problems=problems,
    )


def memory_bound(settings: Mapping[str, Any]) -> int:
    """Return the most bytes that the queues of a node with one subscription can use."""
    return int(
        settings["capacity.subscription-bytes"]
        + settings["capacity.subscription"] * BUFFERED_BYTES
        + settings["capacity.client"] * (settings["capacity.batch-bytes"] + QUEUED_BYTES)
    )


def memory_text(size: int) -> str:
    """Format bytes as MB for an upper bound: rounded up, so that the bound is true."""
    return f"{math.ceil(size / 2**20):,} MB"


def rounded_up(value: float) -> int:
    """Round up to two significant digits."""
    whole = math.ceil(value)
    if whole < 100:
        return max(1, whole)
    unit = int(10 ** (len(str(whole)) - 2))
    return math.ceil(whole / unit) * unit


def smallest_settings(need: Needs) -> dict[str, int]:
    """Return the smallest values for a load, in the order in which a memory limit requires them."""
    # A batch with a few events does not need the default size.
    batch = 1 << math.ceil(math.log2(max(SMALLEST_BATCH_BYTES, 2 * need.message_bytes)))
    batch = max(batch, need.batch_bytes)
    return {
        "capacity.subscription-bytes": max(
            SMALLEST["capacity.subscription-bytes"], rounded_up(need.subscription_bytes * MARGIN)
        ),
        "capacity.batch-bytes": batch,
        "capacity.client": max(SMALLEST["capacity.client"], rounded_up(need.client * MARGIN)),
        "capacity.subscription": max(
            SMALLEST["capacity.subscription"], rounded_up(need.subscription * MARGIN)
        ),
    }


def keep_memory_limit(
    limit: int | None, settings: dict[str, Any], smallest: Mapping[str, int]
) -> list[str]:
    """Reduce settings to what a load needs until the memory limit is kept.

    :param limit: the limit in bytes; ``None`` for no limit.
    :param settings: every capacity; changed in place.
    :param smallest: what the load needs, in the order of reduction.
    :return: why the limit cannot be kept.
    """
    if limit is None:
        return []
    before = dict(settings)
    for key, value in smallest.items():
        if memory_bound(settings) <= limit:
            break
        settings[key] = min(settings[key], value)
    bound = memory_bound(settings)
    if bound <= limit:
        for key in smallest:  # an earlier reduction may not be necessary after the later ones
            if memory_bound({**settings, key: before[key]}) <= limit:
                settings[key] = before[key]
        return []
    needed = f"the queues of this load need up to {memory_text(bound)}"
    ways = "allow more memory, a shorter stall or a shorter outage"
    return [f"{needed}, the limit is {limit / 2**20:,.4g} MB: {ways}"]
