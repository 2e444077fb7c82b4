"""A process that sends millions of events through one subscription and measures its own memory.

Run as ``python steady_memory.py CONFIG EVENTS HOW``; ``HOW`` is ``events`` or ``batches``. Prints
one JSON object: the resident bytes after one fifth and at the end, and the received events.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import fastcoord
from fastcoord import StateChange

CHUNK = 50_000


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def flow(config: str, count: int, how: str) -> dict[str, Any]:
    """Send and receive; the sender is never more than two chunks ahead."""
    after_a_fifth = 0
    received = 0
    chunk: list[fastcoord.Event] = [StateChange(number, number, 1) for number in range(CHUNK)]
    async with (
        fastcoord.connect(config, node_id=1) as sender,
        fastcoord.connect(config, node_id=2) as hearer,
        hearer.subscribe() as events,
    ):
        allowed = asyncio.Semaphore(2)

        async def send() -> None:
            for _ in range(count // CHUNK):
                await allowed.acquire()
                await sender.publish_many(chunk)

        sending = asyncio.create_task(send())
        batches = events.batches()
        while received < count:
            before = received // CHUNK
            if how == "batches":
                batch = await batches.__anext__()
                assert isinstance(batch, fastcoord.Batch), batch
                received += len(batch)
            else:
                async for event in events:
                    assert type(event) is StateChange, event
                    received += 1
                    if received % CHUNK == 0:
                        break
            for _ in range(received // CHUNK - before):
                allowed.release()
            if not after_a_fifth and received >= count // 5:
                after_a_fifth = resident_bytes()
        await sending
        at_the_end = resident_bytes()
        stats = hearer.stats()
    return {
        "after_a_fifth": after_a_fifth,
        "at_the_end": at_the_end,
        "received": received,
        "missed": stats.missed,
        "delivered": stats.subscriptions[0].delivered,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(flow(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
