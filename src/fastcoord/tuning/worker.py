"""One process of a run: ``python -m fastcoord.tuning.worker PARENT``.

The job is on standard input; the process answers with lines of JSON on standard output
(:class:`Reply`). It ends when the process ``PARENT`` ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys

import msgspec

import fastcoord
from fastcoord.tuning.job import Job, Reply
from fastcoord.tuning.orders import Orders, say
from fastcoord.tuning.publishing import publish
from fastcoord.tuning.subscribing import subscribe

__all__ = ["main"]

PR_SET_PDEATHSIG = 1


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


def end_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent ends, even by SIGKILL.

    On other systems than Linux, the process ends when it reads the end of standard input.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has ended before prctl
        sys.exit("the parent process has ended")


def main() -> int:
    """Do the job that the first line of standard input describes."""
    end_with_parent(int(sys.argv[1]))
    logging.getLogger("fastcoord").setLevel(logging.CRITICAL)
    if os.environ.get("FASTCOORD_BENCH_LOOP") == "uvloop":
        import uvloop

        uvloop.install()
    return asyncio.run(_work())


if __name__ == "__main__":
    sys.exit(main())
