"""Publishers that wait for capacity, in the order of their calls."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.events import Event
    from fastcoord.publishing.batcher import Batcher
    from fastcoord.publishing.node_state import NodeState

__all__ = ["WaitingPublishers"]


class WaitingPublishers:
    """The calls of ``publish`` that wait until the batcher has capacity.

    :param state: stores what has ended the node, and how many calls wait.
    :param batcher: accepts the events.
    """

    def __init__(self, state: NodeState, batcher: Batcher) -> None:
        self._state = state
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def accept(self, prepared: tuple[Event, ...], done: int) -> None:
        """Wait until the events from index ``done`` on are accepted."""
        enqueue = self._waiters.append
        while done < len(prepared):
            waiter = self._loop.create_future()
            enqueue(waiter)
            # A call whose events do not fit at once keeps its place.
            enqueue = self._waiters.appendleft
            try:
                self._state.set_waiting(len(self._waiters))
                self.wake()
                await waiter
                self._state.check_publishing()
                done = self._batcher.add_from(prepared, done)
            finally:
                self._waiters.remove(waiter)
                self._state.set_waiting(len(self._waiters))
                # If this task was cancelled, the next publisher gets the capacity.
                self.wake()

    def wake(self) -> None:
        """Wake the first waiting call if the batcher has capacity."""
        if self._waiters and not self._batcher.is_full and not self._waiters[0].done():
            self._waiters[0].set_result(None)

    def wake_all(self) -> None:
        """Wake every waiting call, so that each checks whether publishing is still possible."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
