"""Sum up the results of the processes of a run, and judge whether the run is valid."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcoord.tuning.job import PublisherResult, SubscriberResult
    from fastcoord.tuning.load import Load

__all__ = ["summed"]

TOLERATED_DELAY = 0.5
"""Seconds by which the last event may be late; in longer runs 2 % of the duration."""

NOTED_DELAY = 0.02
"""Seconds from which a note reports the largest delay of a publisher."""


def summed(
    load: Load,
    published: Sequence[PublisherResult | None],
    received: Sequence[SubscriberResult | None],
    problems: list[str],
    interrupted: bool,
) -> dict[str, Any]:
    """Return the sums over the processes, as fields of a ``Result``.

    :param problems: what has made the run invalid so far.
    :param interrupted: whether the run was ended early.
    """
    publishers = [each for each in published if each is not None]
    subscribers = [each for each in received if each is not None]
    sent = sum(each.sent for each in publishers)
    distinct = [each.received - each.duplicated for each in subscribers]
    reported: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for each in subscribers:
        reported.update(each.reported)
        unknown.update(each.unknown_losses)
    expected = sent * len(subscribers)
    arrived = sum(each.received for each in subscribers)
    messages = sum(each.messages for each in subscribers)
    seconds = max((each.read_seconds for each in subscribers), default=0.0)
    if load.rate is not None and not interrupted:
        # A burst or a rare event lasts longer than until it is read: the next one is due later.
        seconds = max(seconds, load.seconds)
    count = max(1, len(subscribers))
    measured = sum(each.measured_events for each in subscribers)
    rate = measured / seconds / count if seconds else 0.0
    batches = sum(each.messages for each in publishers)
    per_message = sent / batches if batches else 0.0
    if not problems:  # a process that has failed ends the others early
        problems = _generator_problems(load, publishers, sent, interrupted)
    problems = [*problems, *_connection_problems(load, publishers, subscribers)]
    return {
        "valid": not problems and not interrupted and bool(publishers and subscribers),
        "interrupted": interrupted,
        "problems": problems,
        "notes": _notes(load, publishers, subscribers),
        "sent": sent,
        "expected": expected,
        "received": arrived,
        # A publisher that has ended without a result leaves events that nobody counted as sent.
        "missed": max(0, expected - sum(distinct)),
        "duplicated": sum(each.duplicated for each in subscribers),
        "out_of_order": sum(each.out_of_order for each in subscribers),
        "discarded": sum(each.discarded for each in publishers),
        "reported": dict(reported),
        "unknown_losses": dict(unknown),
        "events_per_second": rate,
        "messages_per_second": rate / per_message if per_message else 0.0,
        "events_per_message": per_message,
        "bytes_per_message": sum(each.received_bytes for each in subscribers) / max(1, messages),
        "high_water_messages": max((each.high_water_messages for each in subscribers), default=0),
        "publishers": publishers,
        "subscribers": subscribers,
    }


def _generator_problems(
    load: Load, publishers: list[PublisherResult], sent: int, interrupted: bool
) -> list[str]:
    if interrupted or load.rate is None or not publishers:
        return []
    wanted = (load.events_per_publisher or 0) * load.publishers
    remedy = "choose a smaller rate, or a machine with less load"
    late = max(each.late_at_end for each in publishers)
    if sent < wanted:
        problem = f"the publishers could not keep up: {sent:,} of {wanted:,} events were published"
        return [f"{problem}; {remedy}"]
    if late > max(TOLERATED_DELAY, 0.02 * load.seconds):
        problem = f"the publishers could not keep up with {load.rate:,.0f} events/s"
        return [f"{problem}: the last event was published {late:.2f} s late; {remedy}"]
    return []


def _connection_problems(
    load: Load, publishers: list[PublisherResult], subscribers: list[SubscriberResult]
) -> list[str]:
    problems = []
    broken = sum(each.reconnects for each in subscribers)
    if not load.outage:
        broken += sum(each.reconnects for each in publishers)
    if broken:
        problems.append(f"connections broke {broken} times")
    for each in publishers:
        if each.flush_problem is not None:
            problems.append(f"the server did not confirm all events: {each.flush_problem}")
    return problems


def _notes(
    load: Load, publishers: list[PublisherResult], subscribers: list[SubscriberResult]
) -> list[str]:
    notes = []
    latest = max((each.latest for each in publishers), default=0.0)
    if load.rate is not None and latest > NOTED_DELAY:
        notes.append(
            f"a publisher was up to {latest * 1000:,.0f} ms behind its schedule; the corrected"
            " latency includes this delay"
        )
    foreign = sum(each.foreign for each in subscribers)
    if foreign:
        notes.append(f"{foreign} events that this run did not publish arrived on its subject")
    if any(each.ended_by_silence for each in subscribers):
        notes.append("some events neither arrived nor were reported as missed")
    return notes
