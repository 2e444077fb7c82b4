"""Loads, and the reads that wait for them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

__all__ = ["Load", "Read"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Load(Generic[K, V]):
    """One call of the loader, and afterwards the entry with its value."""

    __slots__ = (
        "began_at",
        "epoch",
        "error",
        "has_ended",
        "is_stale",
        "key",
        "readers",
        "task",
        "value",
        "weight",
    )

    value: V

    def __init__(self, key: K, epoch: int, began_at: float, task: Any = None) -> None:
        self.key = key
        self.epoch = epoch
        self.began_at = began_at
        self.is_stale = False
        self.has_ended = False
        self.error: BaseException | None = None
        self.readers = 0
        self.weight: float = 1
        self.task = task
        """What runs the load and wakes the readers; belongs to the user of :class:`Coherence`."""


class Read(Generic[K, V]):
    """One read that waits for a load.

    :ivar load: the load for which the read waits; ``None`` before it has begun.
    :ivar must_start: whether the caller must start this load.
    """

    __slots__ = ("key", "load", "loads", "must_start")

    def __init__(self, key: K) -> None:
        self.key = key
        self.load: Load[K, V] | None = None
        self.loads = 0
        self.must_start = False

    @property
    def waited(self) -> Load[K, V]:
        """The load of a read that has begun."""
        assert self.load is not None, "the read has not begun"
        return self.load
