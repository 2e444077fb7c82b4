"""A node in a process of its own that prints what it receives, and that continues after a kill."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SCRIPT = Path(__file__)


class ResumingProcess:
    """Record what a process prints, also across kills.

    :ivar received: the sender and the number of each event.
    :ivar notices: the notices, as text.
    """

    def __init__(self, config: Path, node_id: int, since: int) -> None:
        self.received: list[tuple[int, int]] = []
        self.notices: list[str] = []
        self._config = config
        self._node_id = node_id
        self._since = since
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def started(
        cls, config: Path, node_id: int, *, since: int
    ) -> AsyncIterator[ResumingProcess]:
        """Start the process, and kill it at the end if it still runs."""
        process = cls(config, node_id, since)
        await process.resume()
        try:
            yield process
        finally:
            await process.kill()

    async def resume(self) -> None:
        """Start the process behind the last message that it has printed."""
        words = [str(self._config), str(self._node_id), str(self._since)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), *words, stdout=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if not line.endswith(b"\n"):
                return  # the process was killed while it wrote this line
            entry = json.loads(line)
            if isinstance(entry, str):
                self.notices.append(entry)
                continue
            self._since, events = entry
            self.received += [(sender, number) for sender, number in events]

    async def kill(self) -> None:
        """Kill the process with SIGKILL, and read what it has printed."""
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._reading
        await self._process.wait()


async def run(config: str, node_id: int, since: int) -> None:
    import fastcoord

    async with (
        fastcoord.connect(config, node_id=node_id) as node,
        node.subscribe(since=since) as events,
    ):
        async for batch in events.batches():
            if isinstance(batch, fastcoord.Notice):
                print(json.dumps(repr(batch)), flush=True)
                continue
            pairs = [
                (event.account_id, event.change_id)
                for event in batch
                if isinstance(event, fastcoord.StateChange)
            ]
            print(json.dumps([batch.sequence, pairs]), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
