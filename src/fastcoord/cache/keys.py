"""What a function from events to keys returns."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, TypeAlias, TypeVar

__all__ = ["ALL", "AllKeys", "Keys"]

K = TypeVar("K", bound=Hashable)


class AllKeys(enum.Enum):
    """The type of ``ALL``."""

    ALL = "all"

    def __repr__(self) -> str:
        return "fastcoord.cache.ALL"


ALL: Literal[AllKeys.ALL] = AllKeys.ALL
"""What the function ``keys`` returns for an event that invalidates every key."""

AllKeys.__module__ = "fastcoord.cache"

Keys: TypeAlias = Callable[[Any], Iterable[K] | AllKeys]
"""Returns the keys that an event invalidates."""
