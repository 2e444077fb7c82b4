"""The internal side of a subscription: its ring, its cursor, and the waiting in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Literal

from fastcoord.events import DuplicateNodeId, Event, Missed, Notice, PeerDown, PeerUp
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.ring import Ring
from fastcoord.stats import SubscriptionStats

__all__ = ["Consumer", "Kinds", "Overflow", "split_kinds"]

Overflow = Literal["drop-oldest", "drop-newest"]
Kinds = Iterable[type[Event] | type[Notice]]


class Consumer:
    """What ``Subscription`` reads from and what the session ends.

    :param capacity_messages: how many messages may wait.
    :param capacity_bytes: how many bytes of payload may wait.
    :param on_close: called with this object when the program closes its subscription.
    :raises TypeError: ``peers`` is not a bool, or ``kinds`` holds something else than classes.
    :raises ValueError: ``overflow`` has no such value, or ``kinds`` is empty.
    """

    def __init__(
        self,
        *,
        protocol: str,
        kinds: Kinds | None,
        overflow: Overflow,
        peers: bool,
        capacity_messages: int,
        capacity_bytes: int,
        on_close: Callable[[Consumer], None],
    ) -> None:
        if overflow not in ("drop-oldest", "drop-newest"):
            raise ValueError(f'overflow must be "drop-oldest" or "drop-newest", not {overflow!r}')
        if not isinstance(peers, bool):
            raise TypeError(
                f"peers must be True or False, not {type(peers).__name__}: with True, PeerUp and"
                " PeerDown are delivered"
            )
        events, notices = split_kinds(kinds)
        if events is not None and not events and not notices:
            raise ValueError("kinds is empty: nothing would ever arrive; leave it out for all")
        unwanted: tuple[type[Notice], ...] = () if peers else (PeerUp, PeerDown)
        self.ring = Ring(
            capacity_messages,
            capacity_bytes,
            drop_newest=overflow == "drop-newest",
            unwanted=tuple(kind for kind in unwanted if kind not in notices),
            fold=fold,
        )
        self.cursor = Cursor(
            self.ring,
            protocol=protocol,
            kinds=events,
            as_notices=overflow_notices,
            # These return the coroutine of `_wait` itself. A coroutine around it would cost every
            # consumer that waits one more step of the event loop.
            wait_for_event=lambda: self._wait(self.cursor.take_event),
            wait_for_batch=lambda: self._wait(self.cursor.take_batch),
        )
        self._on_close = on_close
        self._failure: Exception | None = None
        self._final: SubscriptionStats | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    async def _wait(self, take: Callable[[], Any]) -> Any:
        while True:
            if self.cursor.must_pause:
                await asyncio.sleep(0)
                self.cursor.resume()
            # Taken after the last point at which this task can be cancelled: nothing is lost.
            value = take()
            if value is not None:
                return value
            if self.ring.is_closed:
                if self._failure is not None:
                    raise self._failure
                raise StopAsyncIteration
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            self.ring.wait(self._wake)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
            self.cursor.resume()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """End the subscription now: what is buffered is dropped and an iteration ends."""
        if self._final is None:
            self._final = self.stats()
        self._on_close(self)
        self.ring.close()
        self.ring.clear()
        self.cursor.drop()

    def end(self, failure: Exception | None) -> None:
        """Let the program read what is buffered, then end its iteration.

        :param failure: raised at the end of the iteration, if given.
        """
        self._failure = failure
        self.ring.close()

    def stats(self) -> SubscriptionStats:
        """Return the statistics of the subscription now, or at its end."""
        if self._final is not None:
            return self._final
        ring, cursor = self.ring, self.cursor
        return SubscriptionStats(
            arrived=ring.arrived,
            delivered=cursor.delivered,
            buffered=cursor.buffered,
            filtered=cursor.filtered,
            missed=ring.missed,
            buffered_messages=ring.buffered_messages,
            buffered_bytes=ring.buffered_bytes,
            high_water_messages=ring.high_water_messages,
        )


def split_kinds(
    kinds: Kinds | None,
) -> tuple[list[type[Event]] | None, list[type[Notice]]]:
    """Separate event classes from notice classes; ``None`` stands for all events."""
    if kinds is None:
        return None, []
    chosen: list[Any] = [kinds] if isinstance(kinds, type) else list(kinds)
    notices = [kind for kind in chosen if isinstance(kind, type) and issubclass(kind, Notice)]
    return [kind for kind in chosen if kind not in notices], notices


def overflow_notices(dropped: dict[int, int]) -> list[Notice]:
    """Return a ``Missed`` for each node of which a ring has dropped events."""
    return [Missed(node_id, events, "overflow") for node_id, events in dropped.items()]


def fold(carried: dict[object, Notice], notice: Notice | dict[int, int]) -> None:
    """Merge a notice whose slot is needed into those that say the same."""
    if isinstance(notice, dict):
        for each in overflow_notices(notice):
            fold(carried, each)
    elif isinstance(notice, Missed):
        key = (notice.node_id, notice.cause)
        before = carried.get(key)
        events = notice.events
        if isinstance(before, Missed):
            unknown = before.events is None or events is None
            events = None if unknown else before.events + events  # type: ignore[operator]
        carried[key] = Missed(notice.node_id, events, notice.cause)
    elif isinstance(notice, PeerUp | PeerDown):
        # Only the last state of a peer matters.
        carried.pop(("peer", notice.node_id), None)
        carried[("peer", notice.node_id)] = notice
    elif isinstance(notice, DuplicateNodeId):
        carried[("duplicate", notice.node_id)] = notice
    else:
        carried[object()] = notice
