"""What a program reads events from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Literal

from fastcoord._codec import Batch
from fastcoord._cursor import Cursor
from fastcoord._ring import Ring
from fastcoord.events import DuplicateNodeId, Event, Missed, Notice, PeerDown, PeerUp
from fastcoord.statistics import SubscriptionStats

__all__ = ["Overflow", "Subscription", "split_kinds"]

Overflow = Literal["drop-oldest", "drop-newest"]
Kinds = Iterable[type[Event] | type[Notice]]


class Subscription:
    """The events of the other nodes, from the moment of ``Node.subscribe`` on.

    Iterate over it with ``async for``; it gives events in each sender's order, and notices
    (``Missed``, ``DuplicateNodeId``) in the place where they belong. Leaving ``async with``, or
    ``close``, ends it; so does closing the node, after what is buffered was given.

    Made by ``Node.subscribe``.
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
        on_close: Callable[[Subscription], None],
    ) -> None:
        if overflow not in ("drop-oldest", "drop-newest"):
            raise ValueError(f'overflow must be "drop-oldest" or "drop-newest", not {overflow!r}')
        if not isinstance(peers, bool):
            raise TypeError(
                f"peers must be True or False, not {type(peers).__name__}: it says whether PeerUp"
                " and PeerDown are told"
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
            # No coroutines of their own: a consumer that waited is awakened through each of them.
            wait_for_event=lambda: self._wait(self.cursor.take_event),
            wait_for_batch=lambda: self._wait(self.cursor.take_batch),
        )
        self._on_close = on_close
        self._failure: Exception | None = None
        self._final: SubscriptionStats | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    # ------------------------------------------------------------------------ consuming

    def __aiter__(self) -> AsyncIterator[Event | Notice]:
        # The compiled cursor itself: nothing of this class stands between it and the loop.
        return self.cursor

    def __anext__(self) -> Awaitable[Event | Notice]:
        return self.cursor.__anext__()

    def batches(self) -> AsyncIterator[Batch | Notice]:
        """Iterate over whole batches: the events of one message together, and notices.

        :return: an asynchronous iterator; do not use it and the one over events alternately within
            one batch.
        :raises ConnectionLost: while iterating, when the node has given up its connection.
        """
        return self.cursor.batches()

    async def _wait(self, take: Callable[[], Any]) -> Any:
        while True:
            if self.cursor.must_pause:
                await asyncio.sleep(0)
                self.cursor.resume()
            # Taken only now, after the last point at which this task can be cancelled.
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

    # --------------------------------------------------------------------------- ending

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription; what is buffered is dropped, and an iteration over it ends."""
        if self._final is None:
            self._final = self.stats()
        self._on_close(self)
        self.ring.close()
        self.ring.clear()
        self.cursor.drop()

    def end(self, failure: Exception | None) -> None:
        """Let the consumer read what is buffered, then end its iteration."""
        self._failure = failure
        self.ring.close()

    # ----------------------------------------------------------------------------- stats

    def stats(self) -> SubscriptionStats:
        """Return the numbers of this subscription at this moment, or of its end."""
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
    """Tell event classes from notice classes; ``None`` stands for all events."""
    if kinds is None:
        return None, []
    chosen: list[Any] = [kinds] if isinstance(kinds, type) else list(kinds)
    notices = [kind for kind in chosen if isinstance(kind, type) and issubclass(kind, Notice)]
    return [kind for kind in chosen if kind not in notices], notices


def overflow_notices(dropped: dict[int, int]) -> list[Notice]:
    """Say how many events of which node a ring has dropped."""
    return [Missed(node_id, events, "overflow") for node_id, events in dropped.items()]


def fold(carried: dict[object, Notice], notice: Notice | dict[int, int]) -> None:
    """Keep a notice whose slot was needed, together with those that say the same."""
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
        # Of a peer that comes and goes, the last word is the one that counts.
        carried.pop(("peer", notice.node_id), None)
        carried[("peer", notice.node_id)] = notice
    elif isinstance(notice, DuplicateNodeId):
        carried[("duplicate", notice.node_id)] = notice
    else:
        carried[object()] = notice
