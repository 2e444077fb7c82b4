"""One process of a contest: ``python -m benchmarks.user_loop.worker JOB`` with ``JOB`` in JSON.

It prints a line when it is ready, starts when it reads one, and prints one more with its result.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks.peers import Wire
from benchmarks.user_loop.contenders import contender
from benchmarks.worker import next_line, processor_seconds, report


async def produce(job: dict[str, Any], wire: Wire) -> None:
    """Make and publish events as fast as possible."""
    peer = contender(job["peer"])
    async with peer.producer(wire) as work:
        report(ready=True, version=peer.version())
        await next_line()
        before = processor_seconds()
        start = time.monotonic_ns()
        await work(job["count"])
        report(start=start, end=time.monotonic_ns(), cpu=processor_seconds() - before)
        await next_line()


async def read(job: dict[str, Any], wire: Wire) -> None:
    """Read events; report what was read."""
    peer = contender(job["peer"])
    async with peer.reader(wire) as work:
        before = processor_seconds()
        report(ready=True, version=peer.version())
        found, problem = None, None
        try:
            found = await asyncio.wait_for(work(job["count"]), job["patience"])
        except asyncio.TimeoutError:
            problem = f"not every event had arrived after {job['patience']} s"
        report(
            end=time.monotonic_ns(),
            cpu=processor_seconds() - before,
            problem=problem,
            total=found and found.total,
            check=found and found.check,
        )


def main() -> None:
    """Do the job of the command line."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    asyncio.run({"produce": produce, "read": read}[job["role"]](job, Wire(**job["wire"])))


if __name__ == "__main__":
    main()
