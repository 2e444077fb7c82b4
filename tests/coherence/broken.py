"""Caches with one fault each, which the judge must find."""

from __future__ import annotations

from typing import Any

from fastcoord.cache.coherence import Coherence
from fastcoord.cache.loads import Load
from fastcoord.events import Disconnected, Event, Missed, Notice, Reconnected

__all__ = ["BROKEN"]


class PlainTtl(Coherence[Any, Any]):
    """Ignores all events; its entries expire after two seconds."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, max_age=2.0)

    def receive(self, item: Event | Notice) -> None:
        pass


class WithoutFence(Coherence[Any, Any]):
    """Keeps loads that an invalidation has overtaken."""

    def is_fresh(self, load: Load[Any, Any]) -> bool:
        return True


class WithoutFenceForAll(Coherence[Any, Any]):
    """Keeps loads that began before everything was dropped."""

    def is_fresh(self, load: Load[Any, Any]) -> bool:
        return not load.is_stale


class JoinsStaleLoads(Coherence[Any, Any]):
    """Lets a read take the value of a load that began before the invalidation."""

    def ends(self, read: Any, now: float) -> bool:
        load = read.waited
        stale, load.is_stale = load.is_stale, False
        try:
            return super().ends(read, now)
        finally:
            load.is_stale = stale


class IgnoresMissed(Coherence[Any, Any]):
    """Ignores ``Missed``."""

    def receive(self, item: Event | Notice) -> None:
        if not isinstance(item, Missed):
            super().receive(item)


class ServesWhileDisconnected(Coherence[Any, Any]):
    """Ignores ``Disconnected``."""

    def receive(self, item: Event | Notice) -> None:
        if not isinstance(item, Disconnected):
            super().receive(item)


class IgnoresAbsence(Coherence[Any, Any]):
    """Goes on after an absence as if nothing had been published."""

    def receive(self, item: Event | Notice) -> None:
        if not isinstance(item, Reconnected) and not (
            isinstance(item, Missed) and item.cause == "disconnect"
        ):
            super().receive(item)

    def confirmed(self) -> None:
        self._is_confirmed = True


class ServesBeforeConfirmation(Coherence[Any, Any]):
    """Goes on when the node is back, though its server may not know the subscription."""

    def receive(self, item: Event | Notice) -> None:
        super().receive(item)
        if isinstance(item, Reconnected):
            self._is_confirmed = True

    def confirmed(self) -> None:
        self._is_confirmed = True


class ServesBeforeCaughtUp(Coherence[Any, Any]):
    """Serves entries while events of the stream have yet to arrive."""

    @property
    def is_following(self) -> bool:
        return self._is_caught_up is not None or super().is_following


class ReadsWithoutDrain(Coherence[Any, Any]):
    """Leaves buffered events to the task of the cache."""

    def drain(self) -> None:
        pass


BROKEN = (
    PlainTtl,
    WithoutFence,
    WithoutFenceForAll,
    JoinsStaleLoads,
    IgnoresMissed,
    ServesWhileDisconnected,
    IgnoresAbsence,
    ServesBeforeConfirmation,
    ServesBeforeCaughtUp,
    ReadsWithoutDrain,
)
