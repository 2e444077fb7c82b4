"""One process of a run: ``python -m fastcoord.tuning.worker``, with the job on standard input.

The process answers with lines of JSON on standard output (:class:`Reply`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import msgspec

import fastcoord
from fastcoord.tuning.job import Job, Reply
from fastcoord.tuning.orders import Orders, say
from fastcoord.tuning.publishing import publish
from fastcoord.tuning.subscribing import subscribe

__all__ = ["main"]


async def _work() -> int:
    orders = Orders()
    job = msgspec.json.decode(await orders.open(), type=Job)
    orders.follow()
    try:
        await (publish if job.role == "publish" else subscribe)(job, orders)
    except fastcoord.FastcoordError as error:
        say(Reply(failed=f"{type(error).__name__}: {error}"))
        return 1
    except asyncio.CancelledError:
        if not orders.stopped:
            raise
    return 0


def main() -> int:
    """Do the job that the first line of standard input describes."""
    logging.getLogger("fastcoord").setLevel(logging.CRITICAL)
    if os.environ.get("FASTCOORD_BENCH_LOOP") == "uvloop":
        import uvloop

        uvloop.install()
    return asyncio.run(_work())


if __name__ == "__main__":
    sys.exit(main())
