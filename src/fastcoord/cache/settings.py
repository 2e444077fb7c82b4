"""Check the arguments of a cache, and create its storage."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastcoord._session import Session
    from fastcoord.cache.coherence import Coherence
    from fastcoord.wire.event_classes import EventClass

__all__ = ["caught_up_check", "check_settings", "describe", "listed", "make_storage"]


def check_settings(
    *, load: object, keys: object, max_age: float | None, stale_limit: float
) -> None:
    """Raise an error for arguments that cannot be used.

    :raises TypeError: a function is not callable, or a number is not a number.
    :raises ValueError: a number is out of range.
    """
    for name, function in (("load", load), ("keys", keys)):
        if not callable(function):
            raise TypeError(f"{name} must be a function, not {function!r:.60}")
    if max_age is not None and not max_age > 0:
        raise ValueError(f"max_age must be above zero seconds or None, not {max_age!r}")
    if not stale_limit >= 0:
        raise ValueError(f"stale_limit must be zero seconds or more, not {stale_limit!r}")


def make_storage(
    storage: Callable[..., MutableMapping[Any, Any]], max_size: float
) -> MutableMapping[Any, Any]:
    """Return an empty storage for loads.

    :param storage: a class of cachetools that takes ``maxsize`` and ``getsizeof``.
    :param max_size: the limit of the total weight.
    :raises ValueError: ``max_size`` is not above zero.
    """
    if not max_size > 0:
        raise ValueError(f"max_size must be above zero, not {max_size!r}")
    return storage(max_size, getsizeof=operator.attrgetter("weight"))


def listed(kinds: Iterable[EventClass] | None) -> list[EventClass] | None:
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


def caught_up_check(session: Session) -> Callable[[], bool] | None:
    """Return a function that tells whether the node has caught up with its stream.

    :return: ``None`` on plain NATS.
    """
    stream = session.stream
    return None if stream is None else lambda: stream.is_caught_up
