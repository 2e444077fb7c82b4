"""What happens to a cluster in a long time, made to happen in a short one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastcoord.server import LocalServer
from support.processes.node_process import NodeProcess

FIRST_VISITOR = 100


class Faults:
    """Kill, freeze, pause, stall and churn until the time is over; everything is well afterwards.

    :param server: the server of the cluster.
    :param residents: nodes that live through everything; they are paused and stalled, not killed.
    :param config: with what visitors start, who come, leave and are killed.
    :param source: where chance comes from.
    :param visitors: how many visitors there are at most.
    """

    def __init__(
        self,
        server: LocalServer,
        residents: list[NodeProcess],
        config: Path,
        source: random.Random,
        *,
        visitors: int = 2,
        burst: int = 5,
    ) -> None:
        self.server = server
        self.residents = residents
        self.config = config
        self.source = source
        self.done: Counter[str] = Counter()
        self.visits: list[dict[str, object]] = []
        """The last books of visitors that closed properly."""
        self._visitors: dict[int, NodeProcess | None] = {
            FIRST_VISITOR + number: None for number in range(visitors)
        }
        self._runs = 0
        self._burst = burst
        # A node that starts needs a server; one that runs does not.
        self._server_is_well = asyncio.Lock()

    async def rage(self, seconds: float) -> None:
        """Do all this for so long."""
        deadline = time.monotonic() + seconds
        await asyncio.gather(
            self._repeat(deadline, (2.0, 6.0), [self.kill_server, self.freeze_server]),
            self._repeat(deadline, (0.5, 3.0), [self.visit]),
            self._repeat(deadline, (2.0, 5.0), [self.pause, self.stall]),
        )

    async def farewell(self) -> None:
        """Send the visitors home."""
        for number, visitor in self._visitors.items():
            if visitor is not None:
                self._visitors[number] = None
                await self._leave(visitor)

    async def _repeat(
        self,
        deadline: float,
        pause: tuple[float, float],
        faults: list[Callable[[], Awaitable[None]]],
    ) -> None:
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self.source.uniform(*pause)))
            await self.source.choice(faults)()

    async def kill_server(self) -> None:
        async with self._server_is_well:
            self.server.kill()
            await asyncio.sleep(self.source.uniform(0.0, 1.5))
            await self.server.start_async()
        self.done["server killed"] += 1

    async def freeze_server(self) -> None:
        async with self._server_is_well:
            self.server.freeze()
            await asyncio.sleep(self.source.uniform(0.1, 3.0))
            self.server.thaw()
        self.done["server frozen"] += 1

    async def pause(self) -> None:
        """Stop a process in its tracks for a while."""
        resident = self.source.choice(self.residents)
        resident.freeze()
        await asyncio.sleep(self.source.uniform(0.1, 3.0))
        resident.thaw()
        self.done["node paused"] += 1

    async def stall(self) -> None:
        """Have a consumer take nothing for a while."""
        resident = self.source.choice(self.residents)
        await resident.send("stall")
        await asyncio.sleep(self.source.uniform(0.1, 4.0))
        await resident.send("resume")
        self.done["consumer stalled"] += 1

    async def visit(self) -> None:
        """Have a visitor come, leave properly, or die."""
        number = self.source.choice(list(self._visitors))
        visitor = self._visitors[number]
        if visitor is None:
            self._runs += 1
            async with self._server_is_well:
                self._visitors[number] = await NodeProcess.start(
                    self.config, number, run=self._runs, burst=self._burst
                )
            self.done["visitor came"] += 1
            return
        self._visitors[number] = None
        if self.source.random() < 0.5:
            await visitor.kill()
            self.done["visitor killed"] += 1
        else:
            await self._leave(visitor)

    async def _leave(self, visitor: NodeProcess) -> None:
        # It may find no server to say goodbye to; then it says how much it could not deliver.
        async with self._server_is_well:
            await visitor.send("end")
            with contextlib.suppress(AssertionError):
                self.visits.append(await visitor.read())
            await visitor.kill()
        self.done["visitor left"] += 1
