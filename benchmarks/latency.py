"""The latency of events at a fixed rate, measured from their scheduled time.

The publisher follows its schedule regardless of earlier events (an open loop), so that its own
delays count for every event that they affect.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from benchmarks.processes import Failed, Process, name_of

RATES = (100, 1_000, 10_000)
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
HIGHEST = 60_000_000_000
FIRST_CHANGE_ID = 1 << 21
LEAD = 200_000_000
"""Nanoseconds between the message with the start time to a publisher and that time."""

Way = tuple[str, str]
"""A peer and its event loop."""
WAYS: tuple[Way, ...] = (
    ("fastcoord", "asyncio"),
    ("fastcoord", "uvloop"),
    ("nats_py_single", "asyncio"),
    ("nats_py_single", "uvloop"),
    ("libnats", ""),
)


def run(url: str, way: Way, rate: int, seconds: float, tag: str) -> HdrHistogram:
    """Measure one peer on one event loop at one rate.

    :raises Failed: not every event arrived.
    """
    peer, loop = way
    count = max(20, int(rate * seconds))
    wire = {"url": url, "subject": f"bench.latency.{peer}.{tag}"}
    with tempfile.NamedTemporaryFile() as file:
        job = {"peer": peer, "loop": loop, "wire": wire, "count": count, "rate": rate}
        listening = {"role": "subscribe", "mode": "latency", "file": file.name}
        with (
            Process({**job, **listening, "patience": int(seconds + 20)}) as subscriber,
            Process({**job, "role": "publish_paced"}) as publisher,
        ):
            subscriber.receive()
            publisher.receive()
            start = time.monotonic_ns() + LEAD
            publisher.send(start=start)
            received = subscriber.receive()
            if received["problem"]:
                raise Failed(received["problem"])
        return histogram(Path(file.name).read_bytes(), start, rate)


def histogram(arrivals: bytes, start: int, rate: int) -> HdrHistogram:
    """Return the histogram of the delays.

    :param arrivals: pairs of change id and arrival time.
    """
    values = array("q", arrivals)
    counted = HdrHistogram(1, HIGHEST, 3)
    for change_id, arrived in zip(values[::2], values[1::2], strict=True):
        intended = start + (change_id - FIRST_CHANGE_ID) * 1_000_000_000 // rate
        counted.record_value(max(1, arrived - intended))
    return counted


def title(way: Way) -> str:
    """Return the name of a peer and event loop in tables."""
    peer, loop = way
    return f"{name_of(peer)}, {loop}" if loop else name_of(peer)


def contest(
    url: str,
    ways: list[Way],
    *,
    rates: tuple[int, ...],
    seconds: float,
    rounds: int,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Measure all peers at all rates, alternately; the others are compared with the first one."""
    results: dict[str, Any] = {}
    for rate in rates:
        rows: dict[Way, list[HdrHistogram]] = {way: [] for way in ways}
        for round_number in range(rounds):
            for way in ways:
                rows[way].append(run(url, way, rate, seconds, f"{rate}.{round_number}"))
                middle = rows[way][-1].get_value_at_percentile(50) / 1e3
                log(f"  {title(way)}, {rate}/s: p50 {middle:.0f} us")
        results[str(rate)] = [row(way, rows[way], rows[ways[0]]) for way in ways]
    return results


def row(way: Way, done: list[HdrHistogram], base: list[HdrHistogram]) -> dict[str, Any]:
    """Summarize the rounds of one peer: percentiles of all events, spread of the medians."""
    together = HdrHistogram(1, HIGHEST, 3)
    for each in done:
        together.add(each)
    medians = [each.get_value_at_percentile(50) / 1e3 for each in done]
    ours = [each.get_value_at_percentile(50) / 1e3 for each in base]
    return {
        "name": title(way),
        "unit": "us",
        "events": together.get_total_count(),
        "percentiles": {
            str(each): together.get_value_at_percentile(each) / 1e3 for each in PERCENTILES
        },
        "most": together.get_max_value() / 1e3,
        "p50_least": min(medians),
        "p50_most": max(medians),
        "ratio": statistics.median(mine / first for mine, first in zip(medians, ours, strict=True)),
        "histogram": together.encode().decode(),
    }
