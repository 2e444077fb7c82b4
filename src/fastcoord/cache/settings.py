"""The arguments of a cache: checked, and applied."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Hashable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fastcoord.cache.coherence import Coherence
from fastcoord.cache.error_log import ErrorLog
from fastcoord.events import AppEvent

if TYPE_CHECKING:
    from fastcoord.cache.keys import Keys
    from fastcoord.node import Node
    from fastcoord.wire.event_classes import EventClass

__all__ = ["CONFIRMATION_LIMIT", "CacheSettings", "describe"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CONFIRMATION_LIMIT = 1.0
"""Seconds for which the start of a cache waits for the server."""


class CacheSettings(Generic[K, V]):
    """The arguments that ``Cache`` and ``BlockingCache`` have in common.

    :param load: the loader.
    :param storage: a class of cachetools that takes ``maxsize`` and ``getsizeof``.
    :ivar kinds: the event classes for which ``keys`` is called; ``None`` for all.
    :raises TypeError: a function is not callable, or a number is not a number.
    :raises ValueError: a number is out of range.
    """

    def __init__(
        self,
        load: object,
        *,
        keys: Keys[K],
        kinds: Iterable[EventClass] | None,
        max_size: float,
        weigh: Callable[[V], float] | None,
        max_age: float | None,
        stale_limit: float,
        storage: Callable[..., MutableMapping[Any, Any]],
    ) -> None:
        for name, function in (("load", load), ("keys", keys)):
            if not callable(function):
                raise TypeError(f"{name} must be a function, not {function!r:.60}")
        if max_age is not None and not max_age > 0:
            raise ValueError(f"max_age must be above zero seconds or None, not {max_age!r}")
        if not stale_limit >= 0:
            raise ValueError(f"stale_limit must be zero seconds or more, not {stale_limit!r}")
        if not max_size > 0:
            raise ValueError(f"max_size must be above zero, not {max_size!r}")
        self.kinds: Any = _listed(kinds)
        self._keys = keys
        self._weigh = weigh
        self._max_age = max_age
        self._stale_limit = stale_limit
        weight = operator.attrgetter("weight")
        self._make_storage = functools.partial(storage, max_size, getsizeof=weight)
        self._make_storage()  # raises an error if the arguments do not fit

    def weight_of(self, value: V) -> float:
        """Return the weight of a loaded value.

        :raises ValueError: the function of the program returns no weight.
        """
        if self._weigh is None:
            return 1
        weight = self._weigh(value)
        try:
            is_weight = weight >= 0  # NaN compares as false
        except TypeError:
            is_weight = False
        if not is_weight:
            raise ValueError(f"weigh must return a number, zero or more, not {weight!r:.60}")
        return weight

    def coherence(
        self,
        node: Node,
        take: Callable[[], Any],
        confirm: Callable[[], None],
        make_task: Callable[[], Any] = lambda: None,
    ) -> Coherence[K, V]:
        """Create the logic of a cache with these arguments.

        :param node: the node whose events drop entries.
        :param take: returns the next item of the subscription, if it can be done without waiting.
        :param confirm: called when the server is to confirm the subscription.
        :param make_task: returns the ``task`` of a new load.
        """
        stream = node._session.stream
        return Coherence(
            keys=self._keys,
            make_storage=self._make_storage,
            take=take,
            confirm=confirm,
            is_caught_up=None if stream is None else lambda: stream.is_caught_up,
            node_id=lambda: node.node_id,
            stale_limit=self._stale_limit,
            max_age=self._max_age,
            takes_app_events=self.kinds is not None and AppEvent in self.kinds,
            on_error=ErrorLog(node).note,
            make_task=make_task,
        )


def _listed(kinds: Iterable[EventClass] | None) -> list[EventClass] | None:
    """Return ``kinds`` as a list, which can be read twice."""
    if kinds is None:
        return None
    # ``subscribe`` refuses a string with a better message than its characters would give.
    return [kinds] if isinstance(kinds, str | type) else list(kinds)  # type: ignore[list-item]


def describe(name: str, node_id: int, coherence: Coherence[Any, Any] | None) -> str:
    """Return the repr of a cache.

    :param coherence: ``None`` if the cache is not open.
    """
    state = "not open" if coherence is None else f"{coherence.stats().entries} entries"
    return f"<fastcoord.cache.{name} of node {node_id}: {state}>"
