"""The stats of a cache."""

from collections.abc import Mapping

import msgspec

__all__ = ["CacheStats"]


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of a cache, from its start on."""

    hits: int
    """Reads that were answered from memory."""
    joined: int
    """Reads that waited for a load that another read had started."""
    loads: int
    """Calls of the loader."""
    failed: int
    """Loads that raised an exception or were cancelled. They are not kept."""
    overtaken: int
    """Loads that are not kept because an event or notice made them stale while they ran."""
    entries: int
    """The entries in memory now."""
    is_following: bool
    """Whether the node receives all events now. Otherwise entries are served only within
    ``stale_limit``."""
    drops: Mapping[str, int]
    """The dropped entries by cause: ``"event"`` (an event named the key), ``"missed"`` (events are
    missing), ``"absence"`` (this node was disconnected), ``"program"`` (``invalidate``, ``clear``
    or ``publish``), ``"age"`` (older than ``max_age``), ``"evicted"`` (no space) and ``"error"``
    (the function ``keys`` failed)."""


CacheStats.__module__ = "fastcoord.cache"
