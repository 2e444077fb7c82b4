"""Check the sums over the counters of the demo's nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.cli.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastcoord.cli.demo.messages import NodeReport

__all__ = ["Summary", "add_up", "as_builtins"]

RIGHT = "adds up"


@dataclass(frozen=True)
class Summary:
    """Every sum of a demo, and the problems found."""

    tables: tuple[Table, ...]
    verdict: str
    problems: tuple[str, ...]


def add_up(reports: Mapping[int, NodeReport], *, is_loss_expected: bool = False) -> Summary:
    """Check every sum over the last reports of the nodes.

    :param reports: the report of each node by its id; every node has reported its totals.
    :param is_loss_expected: whether a loss is a result and not a problem, because the server was
        killed. The sums must add up in any case.
    :return: the tables to show, the result in one sentence, and the problems.
    """
    problems: list[str] = []
    losses: list[str] = []
    tables = [
        _pairs(reports, problems, losses),
        _senders(reports, problems),
        _subscriptions(reports, problems),
    ]
    for node_id, report in reports.items():
        if report.wrong:
            problems.append(
                f"node {node_id} received {report.wrong:,} events that differ from those published"
            )
        if report.unattributed:
            losses.append(f"node {node_id} missed an unknown number of events")
    if is_loss_expected:
        tables.append(_losses(reports))
    else:
        problems += losses
    published = sum(report.sent for report in reports.values())
    received = sum(sum(report.received.values()) for report in reports.values())
    missed = sum(
        sum(each.values()) for report in reports.values() for each in report.missed.values()
    )
    verdict = f"{published:,} events were published and {received:,} received by the other nodes"
    if not problems:
        result = (
            f"{missed:,} are reported as missing, the others" if missed else "none is missing, each"
        )
        verdict += f": {result} arrived once and in order, every sum adds up"
    verdict += "."
    if any(report.unattributed for report in reports.values()):
        verdict += (
            " A notice without a number: while a node is disconnected, it cannot know whether it"
            " misses something."
        )
    return Summary(tuple(tables), verdict, tuple(problems))


def as_builtins(reports: Mapping[int, NodeReport], summary: Summary) -> dict[str, Any]:
    """Return the result of a demo as plain values for JSON."""
    missed: dict[str, int] = {}
    for report in reports.values():
        for causes in report.missed.values():
            for cause, count in causes.items():
                missed[cause] = missed.get(cause, 0) + count
    return {
        "published": sum(report.sent for report in reports.values()),
        "received": sum(sum(report.received.values()) for report in reports.values()),
        "missed": missed,
        "notices_without_number": sum(report.unattributed for report in reports.values()),
        "problems": list(summary.problems),
        "nodes": {
            node_id: msgspec.to_builtins(report, str_keys=True)
            for node_id, report in reports.items()
        },
    }


def _losses(reports: Mapping[int, NodeReport]) -> Table:
    rows = []
    for node_id, report in reports.items():
        causes: dict[str, int] = {}
        for each in report.missed.values():
            for cause, count in each.items():
                causes[cause] = causes.get(cause, 0) + count
        by_cause = ", ".join(f"{cause} {count:,}" for cause, count in causes.items()) or "none"
        rows.append((f"node {node_id}", by_cause, f"{report.unattributed:,}"))
    return Table(
        "Reported as Missed while the server was down",
        ("receiver", "events, by cause", "notices without a number"),
        tuple(rows),
        frozenset(),
    )


def _pairs(reports: Mapping[int, NodeReport], problems: list[str], losses: list[str]) -> Table:
    rows = []
    for receiver, report in reports.items():
        for sender, other in reports.items():
            if sender == receiver:
                continue
            received = report.received.get(sender, 0)
            causes = report.missed.get(sender, {})
            missed = sum(causes.values())
            if causes:
                by_cause = ", ".join(f"{cause} {count:,}" for cause, count in causes.items())
                losses.append(
                    f"node {receiver} missed {missed:,} events of node {sender} ({by_cause})"
                )
            where = f"events from node {sender} to node {receiver}"
            state = _compare(where, other.sent, received + missed, problems)
            rows.append(
                (
                    f"node {receiver}",
                    f"node {sender}",
                    *_numbers(other.sent, received, missed),
                    state,
                )
            )
    return _table(
        "Every receiver: sent = received + missed",
        ("receiver", "sender", "sent", "received", "missed", "sum"),
        rows,
    )


def _senders(reports: Mapping[int, NodeReport], problems: list[str]) -> Table:
    rows = []
    for node_id, report in reports.items():
        totals = report.totals
        assert totals is not None
        terms = (totals.confirmed, totals.waiting, totals.discarded)
        state = _compare(f"node {node_id} as sender", totals.accepted, sum(terms), problems)
        if totals.confirmed != report.sent:
            problems.append(
                f"node {node_id} published {report.sent:,} events, of which "
                f"{totals.confirmed:,} are confirmed"
            )
        rows.append((f"node {node_id}", *_numbers(totals.accepted, *terms), state))
    return _table(
        "Every sender: accepted = confirmed + waiting + discarded",
        ("sender", "accepted", "confirmed", "waiting", "discarded", "sum"),
        rows,
    )


def _subscriptions(reports: Mapping[int, NodeReport], problems: list[str]) -> Table:
    rows = []
    for node_id, report in reports.items():
        totals = report.totals
        assert totals is not None
        terms = (totals.delivered, totals.buffered, totals.filtered, totals.missed)
        where = f"the subscription of node {node_id}"
        state = _compare(where, totals.arrived, sum(terms), problems)
        rows.append((f"node {node_id}", *_numbers(totals.arrived, *terms), state))
    return _table(
        "Every subscription: arrived = delivered + buffered + filtered + missed",
        ("receiver", "arrived", "delivered", "buffered", "filtered", "missed", "sum"),
        rows,
    )


def _compare(where: str, whole: int, parts: int, problems: list[str]) -> str:
    if whole == parts:
        return RIGHT
    difference = f"{abs(whole - parts):,} too {'low' if parts < whole else 'high'}"
    problems.append(f"{where}: the sum of the parts is {difference}")
    return difference


def _numbers(*values: int) -> tuple[str, ...]:
    return tuple(f"{value:,}" for value in values)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    wrong = frozenset(index for index, row in enumerate(rows) if row[-1] != RIGHT)
    return Table(title, columns, tuple(rows), wrong)
