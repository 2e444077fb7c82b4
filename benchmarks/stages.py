"""The stages of a single event from publisher to consumer, measured within both processes.

This module wraps the write and the read of the transport, which are internal. All other benchmarks
of processes use the public API.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import fastcoord
from benchmarks import data, peers
from benchmarks.latency import LEAD
from benchmarks.processes import Process
from fastcoord.nats.transport import MessageTransport
from fastcoord.tuning import ticker

RATE = 1_000
STAGES = (
    "the timer wakes the publisher's task",
    "`node.publish(event)`, up to the write to the socket",
    "the write to the socket",
    "kernel, nats-server, kernel; the subscriber reads",
    "the consumer has the event",
)
Report = Callable[..., None]


async def publish(
    job: dict[str, Any], wire: peers.Wire, report: Report, next_line: Callable[[], Awaitable[str]]
) -> None:
    """Publish at a fixed rate; write four times of each event to a file."""
    now = time.monotonic_ns
    events = data.numbered(job["count"])
    writes = array("q")
    times = array("q")
    send = MessageTransport.send

    def timed(
        transport: MessageTransport, frames: bytes, answered: Callable[[], None] | None = None
    ) -> None:
        before = now()
        send(transport, frames, answered)
        writes.extend((before, now()))

    MessageTransport.send = timed  # type: ignore[method-assign]
    async with fastcoord.connect(configuration(wire), node_id=1) as node:
        report(ready=True)
        start = int(json.loads(await next_line())["start"])
        interval = 1_000_000_000 // RATE
        placed = []
        with ticker.Ticker(start, interval) as ticks:
            sent = 0
            while sent < len(events):
                for event in events[sent : sent + await ticks.wait()]:
                    called = now()
                    placed.append(len(writes))
                    await node.publish(event)
                    times.extend((start + sent * interval, called))
                    sent += 1
        await node.flush()
        rows = array("q")
        for index, place in enumerate(placed):
            rows += times[2 * index : 2 * index + 2] + writes[place : place + 2]
        write(job["file"], rows)
        report(done=True)
        await next_line()


async def subscribe(job: dict[str, Any], wire: peers.Wire, report: Report) -> None:
    """Consume; write two times of each event to a file."""
    now = time.monotonic_ns
    times = array("q")
    read_at = 0
    updated = MessageTransport.buffer_updated

    def timed(transport: MessageTransport, size: int) -> None:
        nonlocal read_at
        read_at = now()
        updated(transport, size)

    MessageTransport.buffer_updated = timed  # type: ignore[method-assign]
    async with (
        fastcoord.connect(configuration(wire), node_id=2) as node,
        node.subscribe() as events,
    ):
        report(ready=True)
        left = job["count"]
        async for _ in events:
            times.extend((read_at, now()))
            left -= 1
            if not left:
                break
    write(job["file"], times)
    report(done=True)


def write(name: str, times: array[int]) -> None:
    """Write times to a file."""
    Path(name).write_bytes(times.tobytes())


def configuration(wire: peers.Wire) -> fastcoord.Config:
    """Return the configuration of both nodes."""
    return fastcoord.parse_config(
        f'[store."nats"]\ntype = "nats"\naddress = ["{wire.url}"]\n[cluster]\n'
        f'coordinator = "nats"\nprotocol = "fastcoord-1"\nsubject = "{wire.subject}"\n'
    )


def measure(url: str, seconds: float) -> list[dict[str, Any]]:
    """Measure the median of each stage at a thousand events a second, in microseconds."""
    count = max(50, int(RATE * seconds))
    job = {"peer": "fastcoord", "wire": {"url": url, "subject": "bench.stages"}, "count": count}
    with tempfile.TemporaryDirectory() as folder:
        sent, got = Path(folder, "sent"), Path(folder, "got")
        with (
            Process({**job, "role": "subscribe_stages", "file": str(got)}) as subscriber,
            Process({**job, "role": "publish_stages", "file": str(sent)}) as publisher,
        ):
            subscriber.receive()
            publisher.receive()
            publisher.send(start=time.monotonic_ns() + LEAD)
            publisher.receive()
            subscriber.receive()
        departures = array("q", sent.read_bytes())
        arrivals = array("q", got.read_bytes())
    rows = [
        (*departures[4 * index : 4 * index + 4], *arrivals[2 * index : 2 * index + 2])
        for index in range(count)
    ]
    whole = statistics.median(row[-1] - row[0] for row in rows) / 1e3
    stages = [
        {"name": name, "median": statistics.median(row[at + 1] - row[at] for row in rows) / 1e3}
        for at, name in enumerate(STAGES)
    ]
    return [*stages, {"name": "from the scheduled time to the consumer", "median": whole}]
