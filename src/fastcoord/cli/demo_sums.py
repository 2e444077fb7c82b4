"""Adds up what the demo's nodes have counted: nothing may be missing without a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastcoord.cli.demo_messages import NodeReport

__all__ = ["Summary", "Table", "add_up"]


@dataclass(frozen=True)
class Table:
    """Something to print: every cell is text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Summary:
    """Every sum of a demo, and whether all is well."""

    tables: tuple[Table, ...]
    verdict: str
    problems: tuple[str, ...]


def add_up(reports: Mapping[int, NodeReport]) -> Summary:
    """Check every sum over the nodes' last reports.

    :param reports: each node's report by its id; every node has reported its totals.
    :return: the tables to show, one sentence, and what is wrong.
    """
    problems: list[str] = []
    tables = (
        _links(reports, problems),
        _senders(reports, problems),
        _subscriptions(reports, problems),
    )
    for node_id, report in reports.items():
        if report.wrong:
            problems.append(
                f"node {node_id} received {report.wrong:,} events that are not what was published"
            )
        if report.unattributed:
            problems.append(f"node {node_id} missed events and cannot tell how many")
    published = sum(report.sent for report in reports.values())
    received = sum(sum(report.received.values()) for report in reports.values())
    verdict = f"{published:,} events were published and {received:,} received by the other nodes"
    if not problems:
        verdict += ": none is missing, each came once and in its sender's order, every sum adds up"
    return Summary(tables, f"{verdict}.", tuple(problems))


def _links(reports: Mapping[int, NodeReport], problems: list[str]) -> Table:
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
                problems.append(f"node {receiver} missed {missed:,} of node {sender} ({by_cause})")
            where = f"node {receiver} of node {sender}"
            state = _compare(where, other.sent, received + missed, problems)
            rows.append(
                (
                    f"node {receiver}",
                    f"node {sender}",
                    *_numbers(other.sent, received, missed),
                    state,
                )
            )
    return Table(
        "Every receiver: sent = received + missed",
        ("receiver", "sender", "sent", "received", "missed", "sum"),
        tuple(rows),
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
    return Table(
        "Every sender: accepted = confirmed + waiting + discarded",
        ("sender", "accepted", "confirmed", "waiting", "discarded", "sum"),
        tuple(rows),
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
    return Table(
        "Every subscription: arrived = delivered + buffered + filtered + missed",
        ("receiver", "arrived", "delivered", "buffered", "filtered", "missed", "sum"),
        tuple(rows),
    )


def _compare(where: str, whole: int, parts: int, problems: list[str]) -> str:
    if whole == parts:
        return "adds up"
    difference = f"{abs(whole - parts):,} too {'few' if parts < whole else 'many'}"
    problems.append(f"{where}: the parts are {difference}")
    return difference


def _numbers(*values: int) -> tuple[str, ...]:
    return tuple(f"{value:,}" for value in values)
