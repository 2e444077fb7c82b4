"""Latency histograms. The library is in the extra ``bench``, which only these commands need."""

from __future__ import annotations

import io
import re
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcoord.tuning.load import LibraryMissing
from fastcoord.tuning.result import PERCENTILES, Latency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastcoord.tuning.load import Load

__all__ = ["check_library", "decode", "hgrm", "latencies"]

HIGHEST = 3_600_000_000_000
"""Nanoseconds; the largest latency that a histogram holds. Longer ones count as this one."""

SIGNIFICANT_DIGITS = 3
PAIR_BYTES = 16
"""The bytes of an event number and a time."""


def check_library() -> None:
    """Raise an error if the library is not installed.

    :raises LibraryMissing: with the command that installs it.
    """
    try:
        import hdrh.histogram  # noqa: F401
    except ImportError:
        raise LibraryMissing(
            "this command needs HdrHistogram: pip install 'fastcoord[bench]'"
        ) from None


def latencies(
    load: Load, start: int, published: Iterable[Path], received: Iterable[Path]
) -> tuple[Latency | None, Latency | None]:
    """Return the latency of the sampled events of the measured part.

    :param start: when the load started, in nanoseconds.
    :param published: the samples of the publishers: event number and time of the call.
    :param received: the samples of the subscribers: event number and time of reading.
    :return: from the scheduled time (corrected), and from the call (uncorrected). The first one is
        ``None`` if there is no schedule, both are ``None`` without an event.
    """
    calls: dict[int, int] = {}
    for file in published:
        values = _read(file)
        calls.update(zip(values[::2], values[1::2], strict=True))
    begin = start + int(load.warm_up * 1e9)
    publishers = load.publishers
    scheduled, called = _empty(), _empty()
    for file in received:
        values = _read(file)
        for number, arrived in zip(values[::2], values[1::2], strict=True):
            call = calls.get(number)
            if load.rate is None:
                due = call
            else:
                due = start + load.due_at(number % publishers, number // publishers)
            if due is None or due < begin:
                continue
            if load.rate is not None:
                scheduled.record_value(min(HIGHEST, max(1, arrived - due)))
            if call is not None:
                called.record_value(min(HIGHEST, max(1, arrived - call)))
    return _summary(scheduled), _summary(called)


def decode(latency: Latency) -> Any:
    """Return the ``HdrHistogram`` of a summary."""
    from hdrh.histogram import HdrHistogram

    return HdrHistogram.decode(latency.histogram)


def hgrm(latency: Latency) -> str:
    """Return the distribution as text, in the form that plotters of HdrHistogram read.

    The values are milliseconds.
    """
    output = io.BytesIO()
    histogram = decode(latency)
    histogram.output_percentile_distribution(output, 1e6)
    # The library does not scale the standard deviation.
    deviation = f"{histogram.get_stddev() / 1e6:12.3f}"
    return re.sub(r"(?<=StdDeviation   = )[ \d.]+", deviation, output.getvalue().decode())


def curve(latency: Latency) -> list[tuple[float, float]]:
    """Return points of the distribution: percentile and latency in milliseconds."""
    points = []
    for each in decode(latency).get_percentile_iterator(5):
        points.append((each.percentile_level_iterated_to, each.value_iterated_to / 1e6))
    return points


def _read(file: Path) -> array[int]:
    values = array("q")
    if file.exists():
        data = file.read_bytes()
        # A process that could not write all samples has failed, and leaves half a pair.
        values.frombytes(data[: len(data) // PAIR_BYTES * PAIR_BYTES])
    return values


def _empty() -> Any:
    from hdrh.histogram import HdrHistogram

    return HdrHistogram(1, HIGHEST, SIGNIFICANT_DIGITS)


def _summary(histogram: Any) -> Latency | None:
    count = histogram.get_total_count()
    if not count:
        return None
    at: Callable[[float], int] = histogram.get_value_at_percentile
    return Latency(
        samples=count,
        percentiles={f"{each:g}": at(each) / 1e6 for each in PERCENTILES},
        mean=histogram.get_mean_value() / 1e6,
        max=histogram.get_max_value() / 1e6,
        histogram=histogram.encode().decode(),
    )
