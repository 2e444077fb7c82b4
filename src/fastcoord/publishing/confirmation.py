"""Store unanswered PINGs and waiting flushes, and decide when the next PING is due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastcoord._deadline import within
from fastcoord.errors import RequestTimeout

if TYPE_CHECKING:
    from fastcoord.publishing.batcher import Batcher

__all__ = ["Confirmations"]

CONFIRMATION_PAUSE = 0.005
"""The least seconds between two PINGs while little is sent."""

WINDOW_TO_CONFIRM = 16
"""With this many unconfirmed batches, a PING is sent without a pause."""

MAX_PINGS = 8
"""The most unanswered PINGs. Each PONG confirms a part of the window, so that small batches do not
have to wait until the whole window is confirmed."""


class Confirmations:
    """The confirmations that one node waits for.

    :param batcher: holds the window, which PONGs confirm.
    :param capacity: the most unconfirmed batches.
    """

    def __init__(self, batcher: Batcher, capacity: int) -> None:
        self._batcher = batcher
        self._batches_per_ping = max(WINDOW_TO_CONFIRM, capacity // MAX_PINGS)
        self._pings: deque[int] = deque()
        self._last_ping = 0.0
        self._batches_since_ping = 0
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def is_pinging(self) -> bool:
        """Whether a PING is unanswered."""
        return bool(self._pings)

    @property
    def has_flushes(self) -> bool:
        """Whether a ``flush`` waits for its confirmation."""
        return bool(self._flushes)

    @property
    def is_window_large(self) -> bool:
        """Whether the window must be confirmed without a pause."""
        return len(self._batcher.window) >= WINDOW_TO_CONFIRM

    def is_due(self, now: float) -> bool:
        """Return whether a PING should follow the batches that are sent now.

        While little is sent, one PING confirms all batches of the last ``CONFIRMATION_PAUSE``.
        Under load, a PING follows each PONG. If the window holds many batches, several PINGs are
        unanswered at once.
        """
        if self._pings:
            return (
                self._batches_since_ping >= self._batches_per_ping and len(self._pings) < MAX_PINGS
            )
        is_pause_over = now - self._last_ping >= CONFIRMATION_PAUSE
        return self.has_flushes or self.is_window_large or is_pause_over

    def count_sent(self, batches: int) -> None:
        """Count batches that were sent."""
        self._batches_since_ping += batches

    def add_ping(self, up_to: int, now: float) -> None:
        """Note a PING whose PONG confirms the events before number ``up_to``."""
        self._pings.append(up_to)
        self._last_ping = now
        self._batches_since_ping = 0

    def answer(self, up_to: int) -> None:
        """Remove the PINGs up to event number ``up_to``, and complete the flushes up to it."""
        while self._pings and self._pings[0] <= up_to:
            self._pings.popleft()
        for flush in [flush for flush in self._flushes if flush[0] <= up_to]:
            if not flush[1].done():
                flush[1].set_result(None)
            self._flushes.remove(flush)

    def clear_pings(self) -> None:
        """Forget the PINGs of a lost connection."""
        self._pings.clear()

    async def wait(
        self, seconds: float, begin: Callable[[], object], reason: Callable[[], str]
    ) -> None:
        """Wait until every event that was accepted before this call is confirmed.

        :param seconds: the limit.
        :param begin: sends the events and a PING.
        :param reason: returns why nothing was confirmed, for the exception.
        :raises RequestTimeout: an event was not confirmed in time, or was discarded.
        """
        batcher = self._batcher
        discarded = batcher.discarded
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        flush = (batcher.end, confirmed)
        self._flushes.append(flush)
        try:
            begin()
            await within(confirmed, seconds)
        except TimeoutError:
            gone = batcher.discarded - discarded
            lost = f", {gone} were discarded" if gone else ""
            raise RequestTimeout(
                f"flush: {reason()} within {seconds:g} s; {batcher.waiting} events are kept and"
                f" sent again{lost}"
            ) from None
        finally:
            self._flushes = [known for known in self._flushes if known[1] is not confirmed]
        gone = batcher.discarded - discarded
        if gone:
            raise RequestTimeout(f"flush: {gone} events were discarded before they were confirmed")

    def begin_run(self, first: int, end: int) -> None:
        """Renumber the flushes for a new run of the node, and forget the PINGs.

        :param first: the offset in the former run of the first event that belongs to the new one.
        :param end: the offset behind the last accepted event of the new run.
        """
        self._pings.clear()
        self._flushes = [
            (max(0, min(up_to - first, end)), confirmed) for up_to, confirmed in self._flushes
        ]

    def end(self, reason: Exception) -> None:
        """End every flush with the exception ``reason``."""
        for _, confirmed in self._flushes:
            if not confirmed.done():
                confirmed.set_exception(reason)
