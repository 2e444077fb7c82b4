"""Where the time of a lone event goes, looked at from within both processes of fastcoord.

The connection's one write and one read are wrapped here, so that this belongs to one version of the
inside; everything else of the benchmarks uses the public face.
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
from benchmarks import data, peers, ticker
from benchmarks.latency import LEAD
from benchmarks.processes import Process
from fastcoord.nats.transport import MessageTransport

RATE = 1_000
STAGES = (
    "the clock's tick reaches the publisher's task",
    "`await node.publish(event)`",
    "the loop comes round, the batch is sealed",
    "the socket's write returns",
    "kernel, nats-server, kernel; the subscriber's loop reads",
    "the consumer has the event",
)
Say = Callable[..., None]


async def publish(
    job: dict[str, Any], wire: peers.Wire, say: Say, told: Callable[[], Awaitable[str]]
) -> None:
    """Publish at a steady rate; leave five moments of each event in a file."""
    now = time.monotonic_ns
    events = data.numbered(job["count"])
    writes = array("q")
    moments = array("q")
    send = MessageTransport.send

    def timed(
        lane: MessageTransport, frames: bytes, answered: Callable[[], None] | None = None
    ) -> None:
        before = now()
        send(lane, frames, answered)
        writes.extend((before, now()))

    MessageTransport.send = timed  # type: ignore[method-assign]
    async with fastcoord.connect(configuration(wire), node_id=1) as node:
        say(ready=True)
        start = int(json.loads(await told())["start"])
        interval = 1_000_000_000 // RATE
        placed = []
        with ticker.Ticker(start, interval) as ticks:
            sent = 0
            while sent < len(events):
                for event in events[sent : sent + await ticks.wait()]:
                    called = now()
                    placed.append(len(writes))
                    await node.publish(event)
                    moments.extend((start + sent * interval, called, now()))
                    sent += 1
        await node.flush()
        rows = array("q")
        for index, place in enumerate(placed):
            rows += moments[3 * index : 3 * index + 3] + writes[place : place + 2]
        leave(job["file"], rows)
        say(done=True)
        await told()


async def subscribe(job: dict[str, Any], wire: peers.Wire, say: Say) -> None:
    """Consume; leave two moments of each event in a file."""
    now = time.monotonic_ns
    moments = array("q")
    read_at = 0
    updated = MessageTransport.buffer_updated

    def timed(lane: MessageTransport, size: int) -> None:
        nonlocal read_at
        read_at = now()
        updated(lane, size)

    MessageTransport.buffer_updated = timed  # type: ignore[method-assign]
    async with (
        fastcoord.connect(configuration(wire), node_id=2) as node,
        node.subscribe() as events,
    ):
        say(ready=True)
        left = job["count"]
        async for _ in events:
            moments.extend((read_at, now()))
            left -= 1
            if not left:
                break
    leave(job["file"], moments)
    say(done=True)


def leave(name: str, moments: array[int]) -> None:
    """Leave moments in a file."""
    Path(name).write_bytes(moments.tobytes())


def configuration(wire: peers.Wire) -> fastcoord.Config:
    """Write the settings of both."""
    return fastcoord.parse_config(
        f'[store."nats"]\ntype = "nats"\naddress = ["{wire.url}"]\n[cluster]\n'
        f'coordinator = "nats"\nprotocol = "fastcoord-1"\nsubject = "{wire.subject}"\n'
    )


def measure(url: str, seconds: float) -> list[dict[str, Any]]:
    """Give the median microseconds of each stage at a thousand events a second."""
    count = max(50, int(RATE * seconds))
    job = {"peer": "fastcoord", "wire": {"url": url, "subject": "bench.stages"}, "count": count}
    with tempfile.TemporaryDirectory() as folder:
        sent, got = Path(folder, "sent"), Path(folder, "got")
        with (
            Process({**job, "role": "subscribe_stages", "file": str(got)}) as subscriber,
            Process({**job, "role": "publish_stages", "file": str(sent)}) as publisher,
        ):
            subscriber.hear()
            publisher.hear()
            publisher.tell(start=time.monotonic_ns() + LEAD)
            publisher.hear()
            subscriber.hear()
        departures = array("q", sent.read_bytes())
        arrivals = array("q", got.read_bytes())
    rows = [
        (*departures[5 * index : 5 * index + 5], *arrivals[2 * index : 2 * index + 2])
        for index in range(count)
    ]
    whole = statistics.median(row[-1] - row[0] for row in rows) / 1e3
    stages = [
        {"name": name, "median": statistics.median(row[at + 1] - row[at] for row in rows) / 1e3}
        for at, name in enumerate(STAGES)
    ]
    return [*stages, {"name": "from the intended moment to the consumer", "median": whole}]
