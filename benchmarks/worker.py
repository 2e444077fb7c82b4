"""One process of a run: it publishes or it subscribes, and says on standard output what it saw.

``python -m benchmarks.worker JOB``, where ``JOB`` is JSON, prints one line of JSON when it is
ready, begins when it reads a line, and prints one more when it is done. Times are those of
``time.monotonic_ns``, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import crowd, data, peers, stages, ticker

Job = dict[str, Any]


def processor_seconds() -> float:
    """Give the processor's time that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def say(**facts: Any) -> None:
    """Print a line for whoever started this process."""
    print(json.dumps(facts), flush=True)


async def told_to_begin() -> str:
    """Wait for a line on standard input."""
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def events_of(kind: str, count: int) -> list[Any]:
    """Give numbered events of the kind that travels."""
    return data.numbered(count) if kind == "StateChange" else data.numbered_app_events(count)


async def publish(job: Job, wire: peers.Wire) -> None:
    """Publish as fast as it goes; every event has a number of its own only in a check."""
    peer = peers.load(job["peer"])
    count: int = job["count"]
    events = peer.prepare(events_of(wire.kind, min(count, job["distinct"])))
    async with peer.publisher(wire) as (send, flush):
        say(ready=True, version=peer.version())
        await told_to_begin()
        before = processor_seconds()
        start = time.monotonic_ns()
        for _ in range(count // len(events)):
            await send(events)
        await flush()
        say(start=start, end=time.monotonic_ns(), cpu=processor_seconds() - before)
        await told_to_begin()


async def publish_paced(job: Job, wire: peers.Wire) -> None:
    """Publish at a rate, each event at its own moment, whatever became of those before."""
    peer = peers.load(job["peer"])
    rate, count = job["rate"], job["count"]
    events = peer.prepare(events_of(wire.kind, count))
    at_once = max(1, rate // job.get("ticks", rate))
    async with peer.publisher(wire) as (send, flush):
        say(ready=True, version=peer.version())
        start = int(json.loads(await told_to_begin())["start"])
        before = processor_seconds()
        await paced(events, send, start, rate, at_once)
        used = processor_seconds() - before
        await flush()
        say(start=start, end=time.monotonic_ns(), cpu=used)
        await told_to_begin()


async def paced(
    events: Sequence[Any],
    send: Callable[[Sequence[Any]], Awaitable[None]],
    start: int,
    rate: int,
    at_once: int,
) -> None:
    """Send ``at_once`` events a tick."""
    sent = 0
    with ticker.Ticker(start, at_once * 1_000_000_000 // rate) as ticks:
        while sent < len(events):
            due = min(len(events), sent + await ticks.wait() * at_once)
            await send(events[sent:due])
            sent = due


async def subscribe(job: Job, wire: peers.Wire) -> None:
    """Consume so many events; check them, time them, or note when each arrived."""
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
        say(ready=True, version=peer.version())
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
        say(end=end, cpu=used, problem=problem)


def write(name: str, arrivals: array[int]) -> None:
    """Leave pairs of change id and moment in a file."""
    Path(name).write_bytes(arrivals.tobytes())


def difference(taken: list[Any], expected: list[Any]) -> str | None:
    """Say what is wrong with what arrived; ``None`` when nothing is."""
    if taken == expected:
        return None
    if len(taken) != len(expected):
        return f"{len(taken)} events arrived of {len(expected)}"
    first = next(
        i for i, pair in enumerate(zip(taken, expected, strict=True)) if pair[0] != pair[1]
    )
    return (
        f"event {first} is {taken[first]!r}, not {expected[first]!r}: lost, doubled or out of order"
    )


async def subscribe_crowd(job: Job, wire: peers.Wire) -> None:
    """Consume with many nodes."""
    await crowd.subscribe(job, wire, say)


async def publish_crowd(job: Job, wire: peers.Wire) -> None:
    """Publish with many nodes."""
    await crowd.publish(job, wire, say, told_to_begin)


async def publish_stages(job: Job, wire: peers.Wire) -> None:
    """Note what an event passes on its way out."""
    await stages.publish(job, wire, say, told_to_begin)


async def subscribe_stages(job: Job, wire: peers.Wire) -> None:
    """Note what an event passes on its way in."""
    await stages.subscribe(job, wire, say)


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
    """Do the job of the command line."""
    job: Job = json.loads(sys.argv[1])
    wire = peers.Wire(**job["wire"])
    if job.get("loop") == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(ROLES[job["role"]](job, wire))


if __name__ == "__main__":
    main()
