"""The latency of events at a fixed rate, measured from their scheduled time.

The publisher follows its schedule regardless of earlier events (an open loop), so that its own
delays count for every event that they affect.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hdrh.histogram import HdrHistogram

from benchmarks.processes import Failed, Process, name_of

RATES = (100, 1_000, 10_000)
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
CALLED = (50.0, 99.0)
"""The percentiles from the call of ``publish``."""
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


class Delays(NamedTuple):
    """The delays of one run.

    :ivar scheduled: from the scheduled time of each event.
    :ivar called: from the call of ``publish``; ``None`` for a peer that does not record it.
    """

    scheduled: HdrHistogram
    called: HdrHistogram | None


def run(url: str, way: Way, rate: int, seconds: float, tag: str) -> Delays:
    """Measure one peer on one event loop at one rate.

    :raises Failed: not every event arrived.
    """
    peer, loop = way
    count = max(20, int(rate * seconds))
    wire = {"url": url, "subject": f"bench.latency.{peer}.{tag}"}
    with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile() as calls:
        job = {"peer": peer, "loop": loop, "wire": wire, "count": count, "rate": rate}
        listening = {"role": "subscribe", "mode": "latency", "file": file.name}
        with (
            Process({**job, **listening, "patience": int(seconds + 20)}) as subscriber,
            Process({**job, "role": "publish_paced", "calls": calls.name}) as publisher,
        ):
            subscriber.receive()
            publisher.receive()
            start = time.monotonic_ns() + LEAD
            publisher.send(start=start)
            received = subscriber.receive()
            if received["problem"]:
                raise Failed(received["problem"])
            if loop:
                publisher.receive()
        arrivals = Path(file.name).read_bytes()
        return Delays(
            histogram(arrivals, lambda number: start + number * 1_000_000_000 // rate),
            histogram(arrivals, array("q", Path(calls.name).read_bytes()).__getitem__)
            if loop
            else None,
        )


def histogram(arrivals: bytes, begin: Callable[[int], int]) -> HdrHistogram:
    """Return the histogram of the delays.

    :param arrivals: pairs of change id and arrival time.
    :param begin: returns when the event of a number was scheduled, or published.
    """
    values = array("q", arrivals)
    counted = HdrHistogram(1, HIGHEST, 3)
    for change_id, arrived in zip(values[::2], values[1::2], strict=True):
        counted.record_value(max(1, arrived - begin(change_id - FIRST_CHANGE_ID)))
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
        rows: dict[Way, list[Delays]] = {way: [] for way in ways}
        for round_number in range(rounds):
            for way in ways:
                rows[way].append(run(url, way, rate, seconds, f"{rate}.{round_number}"))
                middle = rows[way][-1].scheduled.get_value_at_percentile(50) / 1e3
                log(f"  {title(way)}, {rate}/s: p50 {middle:.0f} us")
        results[str(rate)] = [row(way, rows[way], rows[ways[0]]) for way in ways]
    return results


def sum_of(histograms: Iterable[HdrHistogram]) -> HdrHistogram:
    """Return one histogram of all events."""
    together = HdrHistogram(1, HIGHEST, 3)
    for each in histograms:
        together.add(each)
    return together


def row(way: Way, done: list[Delays], base: list[Delays]) -> dict[str, Any]:
    """Summarize the rounds of one peer: percentiles of all events, spread of the medians."""
    together = sum_of(each.scheduled for each in done)
    called = sum_of(each.called for each in done if each.called is not None)
    medians = [each.scheduled.get_value_at_percentile(50) / 1e3 for each in done]
    ours = [each.scheduled.get_value_at_percentile(50) / 1e3 for each in base]
    return {
        "name": title(way),
        "unit": "us",
        "events": together.get_total_count(),
        "percentiles": {
            str(each): together.get_value_at_percentile(each) / 1e3 for each in PERCENTILES
        },
        "called": {
            str(each): called.get_value_at_percentile(each) / 1e3
            for each in CALLED
            if called.get_total_count()
        },
        "most": together.get_max_value() / 1e3,
        "p50_least": min(medians),
        "p50_most": max(medians),
        "ratio": statistics.median(mine / first for mine, first in zip(medians, ours, strict=True)),
        "histogram": together.encode().decode(),
    }
