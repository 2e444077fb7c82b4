"""How late the event loop is, so that a test's limits tell a starved machine from a failure."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

INTERVAL = 0.02
LATE = 0.2
"""The part of the last second from which on the event loop counts as late."""


class LoopLag:
    """Measure by how much the running event loop is late with its timers, until the block ends.

    ::

        async with LoopLag() as lag:
            before = lag.seconds
            ...
            assert took < limit + lag.seconds - before
    """

    def __init__(self) -> None:
        self._late = 0.0
        self._due = 0.0
        self._recent = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """The lag since the beginning of the block, all delays added up."""
        return self._late + max(0.0, time.monotonic() - self._due)

    @property
    def is_late(self) -> bool:
        """Whether the event loop was late for much of the last second."""
        return self._recent > LATE

    async def __aenter__(self) -> LoopLag:
        self._schedule()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._timer is not None
        self._timer.cancel()

    def _schedule(self) -> None:
        self._due = time.monotonic() + INTERVAL
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def _tick(self) -> None:
        late = max(0.0, time.monotonic() - self._due)
        self._late += late
        # An exponential mean over about one second.
        share = min(1.0, INTERVAL + late)
        self._recent += share * (late / (INTERVAL + late) - self._recent)
        self._schedule()
