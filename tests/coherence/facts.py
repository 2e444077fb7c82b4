"""What happens in a world, as its judge knows it."""

from __future__ import annotations

from typing import Any

from fastcoord.cache.loads import Load, Read


class Unjust(AssertionError):
    """A read returned what its node could have known to be stale."""


class LoadFailed(Exception):
    """The loader of the world fails."""


class Value:
    """What the database has returned to one load."""

    def __init__(self, version: int, load: Load[Any, Any]) -> None:
        self.version = version
        self.load = load
        self.ended_at_step = -1


class Fact:
    """An event, and what the node could know of it."""

    def __init__(self, key: int, version: int, writer: int) -> None:
        self.key = key
        self.version = version
        self.writer = writer
        self.is_known = False
        """Whether the event, or the ``Missed`` that tells its loss, has been put into the ring."""


class OpenRead:
    """A read that has not returned."""

    def __init__(self, key: int, step: int) -> None:
        self.key = key
        self.began_at_step = step
        self.read: Read[int, Value] | None = None
