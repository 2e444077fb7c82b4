"""The faults of a soak: what happens to a cluster in a long time, in a short one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastcoord.server import LocalServer
from support.processes.node_process import NodeProcess

FIRST_TEMPORARY = 100


class Faults:
    """Kill, freeze, pause, stall and churn for a while; afterwards server and nodes run normally.

    :param server: the server of the cluster.
    :param permanent: nodes that run all the time; they are paused and stalled, not killed.
    :param config: the configuration file of temporary nodes, which start, end and are killed.
    :param source: the source of randomness.
    :param temporary: the maximum number of temporary nodes.
    :param options: those of the processes.
    """

    def __init__(
        self,
        server: LocalServer,
        permanent: list[NodeProcess],
        config: Path,
        source: random.Random,
        *,
        temporary: int = 2,
        **options: Any,
    ) -> None:
        self.server = server
        self.permanent = permanent
        self.config = config
        self.source = source
        self.done: Counter[str] = Counter()
        self.ended: list[dict[str, object]] = []
        """The last reports of temporary nodes that were closed."""
        self._temporary: dict[int, NodeProcess | None] = {
            FIRST_TEMPORARY + number: None for number in range(temporary)
        }
        # A few nodes start and end now and then, many of them often.
        self._between_churns = (1.0 / temporary, 6.0 / temporary)
        self._runs = 0
        self._options = options
        # Only a node that starts needs a running server.
        self._server_lock = asyncio.Lock()

    async def run(self, seconds: float) -> None:
        """Inject faults for this long."""
        deadline = time.monotonic() + seconds
        await asyncio.gather(
            self._repeat(deadline, (2.0, 6.0), [self.kill_server, self.freeze_server]),
            self._repeat(deadline, self._between_churns, [self.churn]),
            self._repeat(deadline, (2.0, 5.0), [self.pause, self.stall]),
        )

    async def stop_temporary(self) -> None:
        """End the temporary nodes."""
        for number, node in self._temporary.items():
            if node is not None:
                self._temporary[number] = None
                await self._end(node)

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
        async with self._server_lock:
            self.server.kill()
            await asyncio.sleep(self.source.uniform(0.0, 1.5))
            await self.server.start_async()
        self.done["server killed"] += 1

    async def freeze_server(self) -> None:
        async with self._server_lock:
            self.server.freeze()
            await asyncio.sleep(self.source.uniform(0.1, 3.0))
            self.server.thaw()
        self.done["server frozen"] += 1

    async def pause(self) -> None:
        """Freeze a process for a while."""
        node = self.source.choice(self.permanent)
        node.freeze()
        await asyncio.sleep(self.source.uniform(0.1, 3.0))
        node.thaw()
        self.done["node paused"] += 1

    async def stall(self) -> None:
        """Let a consumer read nothing for a while."""
        node = self.source.choice(self.permanent)
        await node.send("stall")
        await asyncio.sleep(self.source.uniform(0.1, 4.0))
        await node.send("resume")
        self.done["consumer stalled"] += 1

    async def churn(self) -> None:
        """Start, end or kill a temporary node."""
        number = self.source.choice(list(self._temporary))
        node = self._temporary[number]
        if node is None:
            self._runs += 1
            async with self._server_lock:
                self._temporary[number] = await NodeProcess.start(
                    self.config, number, run=self._runs, **self._options
                )
            self.done["node started"] += 1
            return
        self._temporary[number] = None
        if self.source.random() < 0.5:
            await node.kill()
            self.done["node killed"] += 1
        else:
            await self._end(node)

    async def _end(self, node: NodeProcess) -> None:
        # Without a server it cannot flush; its last report then shows what waits.
        async with self._server_lock:
            await node.send("end")
            with contextlib.suppress(AssertionError):
                self.ended.append(await node.read())
            await node.kill()
        self.done["node ended"] += 1
