"""Format the result of a run as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.cli.tables import Table, plain_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcoord.tuning.job import PublisherResult, SubscriberResult
    from fastcoord.tuning.load import Load
    from fastcoord.tuning.objectives import Outcome
    from fastcoord.tuning.result import Result

__all__ = ["load_text", "milliseconds", "outcome_lines", "result_lines"]

MB = 1024 * 1024


def milliseconds(value: float) -> str:
    """Format milliseconds with three significant digits."""
    if value >= 100:
        return f"{value:,.0f} ms"
    return f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def load_text(load: Load) -> str:
    """Describe a load in one line."""
    rate = "as fast as possible" if load.rate is None else f"{load.rate:,.0f} events/s"
    style = {
        "loop": "one call an event",
        "lone": "lone events",
        "list": f"lists of {load.list_size}",
    }[load.style]
    words = [rate, style, f"{load.publishers} to {load.subscribers} nodes", f"{load.seconds:g} s"]
    if load.nowait:
        words.append("publish_nowait")
    if load.burst > 1:
        words.append(f"bursts of {load.burst:,}")
    for name in ("stall", "generator_stall", "outage"):
        if value := getattr(load, name):
            words.append(f"{name.replace('_', ' ')} of {value:g} s")
    return ", ".join(words)


def result_lines(result: Result) -> list[str]:
    """Format a result."""
    causes = ", ".join(f"{count:,} {cause}" for cause, count in result.reported.items())
    lost = f"missed {result.missed:,}, duplicated {result.duplicated:,}"
    warm_up = result.load.warm_up
    included = f" (with those of the warm-up of {warm_up:g} s)" if warm_up else ""
    sent = f"sent {result.sent:,}{included}"
    counts = f"{sent}, expected {result.expected:,}, received {result.received:,}"
    lines = [
        f"{load_text(result.load)}; {result.server}{', with a stream' if result.stream else ''}",
        "",
        f"{counts}, {lost}, out of order {result.out_of_order:,}",
    ]
    if causes or result.unknown_losses:
        unknown = ", ".join(f"{n} × {cause}" for cause, n in result.unknown_losses.items())
        parts = (causes, unknown and f"without a number: {unknown}")
        lines.append("reported as missed: " + "; ".join(filter(None, parts)))
    speeds = f"{result.events_per_second:,.0f} events/s, {result.messages_per_second:,.0f} messages"
    sizes = f"{result.events_per_message:.1f} events and {result.bytes_per_message:,.0f} bytes"
    limit = result.settings["capacity.subscription"]
    waited = f"at most {result.high_water_messages:,} messages waited in a subscription"
    lines += [
        f"{speeds}/s, {sizes} a message (events are numbered from 0)",
        f"{waited} (capacity.subscription = {limit:,})",
        "",
    ]
    lines += [*_sides(result), *_latencies(result)]
    lines += [f"note: {note}" for note in result.notes]
    if result.interrupted:
        lines.append("interrupted: the figures are those up to then")
    return lines


def outcome_lines(outcomes: list[Outcome]) -> list[str]:
    """Format measured objectives."""
    return [
        f"objective {each.objective.text}: {'met' if each.is_met else 'missed'}"
        f" ({each.measured_text})"
        for each in outcomes
    ]


def _sides(result: Result) -> list[str]:
    rows: list[tuple[str, ...]] = []
    both: tuple[tuple[str, Sequence[PublisherResult | SubscriberResult]], ...] = (
        ("publisher", result.publishers),
        ("subscriber", result.subscribers),
    )
    for name, sides in both:
        for index, each in enumerate(sides, 1):
            events = max(1, each.measured_events)
            rows.append(
                (
                    f"{name} {index}",
                    f"{each.measured_events:,}",
                    f"{each.cpu_seconds:.2f} s",
                    f"{each.cpu_seconds * 1e9 / events:,.0f} ns",
                    f"{each.memory_peak / MB:.1f} MB",
                    f"{max(0, each.memory_peak - each.memory_before) / MB:.1f} MB",
                )
            )
    columns = ("side", "events", "CPU", "CPU an event", "peak memory", "above the start")
    return [*plain_lines(Table("", columns, tuple(rows))), ""]


def _latencies(result: Result) -> list[str]:
    found = [
        (name, each)
        for name, each in (
            ("corrected", result.corrected),
            ("uncorrected", result.uncorrected),
        )
        if each is not None
    ]
    if not found:
        return ["no latency: no event of the measured part was timed"]
    rows = [
        (f"p{key}", *(milliseconds(each.percentiles[key]) for _, each in found))
        for key in found[0][1].percentiles
    ]
    rows.append(("max", *(milliseconds(each.max) for _, each in found)))
    rows.append(("samples", *(f"{each.samples:,}" for _, each in found)))
    columns = ("latency", *(name for name, _ in found))
    lines = plain_lines(Table("", columns, tuple(rows)))
    samples = found[0][1].samples
    few = [f"p{key}" for key in found[0][1].percentiles if samples * (100 - float(key)) < 100]
    if few:
        lines.append(f"note: {', '.join(few)} of {samples:,} samples are their maximum")
    return lines
