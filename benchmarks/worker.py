"""One process of a run, a publisher or a subscriber: ``python -m benchmarks.worker JOB``.

``JOB`` is JSON. The process prints a line of JSON when it is ready, begins when it reads a line,
and prints a line with its results at the end. Times are those of ``time.monotonic_ns``, which all
processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import crowd, data, peers, stages
from fastcoord.tuning import ticker
from fastcoord.tuning.usage import processor_seconds

Job = dict[str, Any]


def report(**facts: Any) -> None:
    """Print a line for the process that started this one."""
    print(json.dumps(facts), flush=True)


async def next_line() -> str:
    """Wait for a line on standard input."""
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def events_of(kind: str, count: int) -> list[Any]:
    """Return numbered events of a kind."""
    return data.numbered(count) if kind == "StateChange" else data.numbered_app_events(count)


async def publish(job: Job, wire: peers.Wire) -> None:
    """Publish as fast as possible; all events are different only in a check."""
    peer = peers.load(job["peer"])
    count: int = job["count"]
    events = peer.prepare(events_of(wire.kind, min(count, job["distinct"])))
    async with peer.publisher(wire) as (send, flush):
        report(ready=True, version=peer.version())
        await next_line()
        before = processor_seconds()
        start = time.monotonic_ns()
        for _ in range(count // len(events)):
            await send(events)
        await flush()
        report(start=start, end=time.monotonic_ns(), cpu=processor_seconds() - before)
        await next_line()


async def publish_paced(job: Job, wire: peers.Wire) -> None:
    """Publish at a fixed rate, each event at its scheduled time."""
    peer = peers.load(job["peer"])
    rate, count = job["rate"], job["count"]
    events = peer.prepare(events_of(wire.kind, count))
    at_once = max(1, rate // job.get("ticks", rate))
    async with peer.publisher(wire) as (send, flush):
        report(ready=True, version=peer.version())
        start = int(json.loads(await next_line())["start"])
        before = processor_seconds()
        calls = array("q")
        await paced(events, send, start, rate, at_once, calls)
        used = processor_seconds() - before
        await flush()
        if "calls" in job:
            write(job["calls"], calls)
        report(start=start, end=time.monotonic_ns(), cpu=used)
        await next_line()


async def paced(
    events: Sequence[Any],
    send: Callable[[Sequence[Any]], Awaitable[None]],
    start: int,
    rate: int,
    at_once: int,
    calls: array[int],
) -> None:
    """Send ``at_once`` events at each tick.

    :param calls: gets the time of the call for each event. Events that are late are sent with one
        call and have its time.
    """
    sent = 0
    with ticker.Ticker(start, at_once * 1_000_000_000 // rate) as ticks:
        while sent < len(events):
            due = min(len(events), sent + await ticks.wait() * at_once)
            calls.extend([time.monotonic_ns()] * (due - sent))
            await send(events[sent:due])
            sent = due


async def subscribe(job: Job, wire: peers.Wire) -> None:
    """Consume the events; check them, time them, or record when each arrived."""
    peer = peers.load(job["peer"])
    count: int = job["count"]
    taken: list[Any] = []
    arrivals = array("q")
    take: Callable[[Any], object] | None = None
    if job["mode"] == "check":
        take = taken.append
    elif job["mode"] == "latency":
        now = time.monotonic_ns
        note = arrivals.append

        def take(event: Any) -> None:
            note(event.change_id)
            note(now())

    async with peer.subscriber(wire, take) as consume:
        before = processor_seconds()
        report(ready=True, version=peer.version())
        problem = None
        try:
            await asyncio.wait_for(consume(count), job["patience"])
        except asyncio.TimeoutError:
            problem = f"not everything had arrived after {job['patience']} s"
        end = time.monotonic_ns()
        used = processor_seconds() - before
        if job["mode"] == "check" and problem is None:
            problem = difference(taken, peer.prepare(events_of(wire.kind, count)))
        if job["mode"] == "latency":
            write(job["file"], arrivals)
        report(end=end, cpu=used, problem=problem)


def write(name: str, arrivals: array[int]) -> None:
    """Write pairs of change id and arrival time to a file."""
    Path(name).write_bytes(arrivals.tobytes())


def difference(taken: list[Any], expected: list[Any]) -> str | None:
    """Describe the first difference; ``None`` if there is none."""
    if taken == expected:
        return None
    if len(taken) != len(expected):
        return f"{len(taken)} events arrived of {len(expected)}"
    first = next(
        i for i, pair in enumerate(zip(taken, expected, strict=True)) if pair[0] != pair[1]
    )
    return (
        f"event {first} is {taken[first]!r}, not {expected[first]!r}: "
        "lost, repeated or out of order"
    )


async def subscribe_crowd(job: Job, wire: peers.Wire) -> None:
    """Consume with many nodes."""
    await crowd.subscribe(job, wire, report)


async def publish_crowd(job: Job, wire: peers.Wire) -> None:
    """Publish with many nodes."""
    await crowd.publish(job, wire, report, next_line)


async def publish_stages(job: Job, wire: peers.Wire) -> None:
    """Record the stages of publishing."""
    await stages.publish(job, wire, report, next_line)


async def subscribe_stages(job: Job, wire: peers.Wire) -> None:
    """Record the stages of receiving."""
    await stages.subscribe(job, wire, report)


ROLES = {
    "publish": publish,
    "publish_crowd": publish_crowd,
    "publish_paced": publish_paced,
    "publish_stages": publish_stages,
    "subscribe": subscribe,
    "subscribe_crowd": subscribe_crowd,
    "subscribe_stages": subscribe_stages,
}


def main() -> None:
    """Run the job of the command line."""
    job: Job = json.loads(sys.argv[1])
    wire = peers.Wire(**job["wire"])
    if job.get("loop") == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(ROLES[job["role"]](job, wire))


if __name__ == "__main__":
    main()
