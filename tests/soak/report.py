"""The checks at the end of a soak, and the table of its results."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

Report = dict[str, Any]
MEBIBYTE = 1024 * 1024
GROWTH_ALLOWED = 0.10
GROWTH_ALWAYS_ALLOWED = 6 * MEBIBYTE


def is_even(reports: list[Report]) -> bool:
    """Whether each node received, or reported as missed, everything that each other node sent."""
    return not list(uneven(reports))


def uneven(reports: list[Report]) -> list[str]:
    found = []
    for report in reports:
        if report["waiting"]:
            found.append(f"node {report['node']}: {report['waiting']} events wait")
        for other in reports:
            if other is report:
                continue
            place = next((line["place"] for line in lines(report, other["node"])), 0)
            if place != other["sent"]:
                found.append(
                    f"node {report['node']} accounts for {place} events of node {other['node']},"
                    f" which sent {other['sent']}"
                )
    return found


def lines(report: Report, sender: int) -> list[Report]:
    return [line for line in report["received"] if line["sender"] == sender]


def violations(
    reports: list[Report], ended: list[Report], samples: dict[int, list[int]]
) -> list[str]:
    """List every violation."""
    found = uneven(reports)
    for report in [*reports, *ended]:
        name = f"node {report['node']} run {report['run']}"
        found += [
            f"{name}: of node {line['sender']} run {line['run']}: {fault}"
            for line in report["received"]
            for fault in line["faults"]
        ]
        if report["accepted"] != report["sent"]:
            found.append(f"{name}: accepted {report['accepted']} of {report['sent']}")
    for node, sizes in samples.items():
        early, late = growth(sizes)
        if late > early * (1 + GROWTH_ALLOWED) + GROWTH_ALWAYS_ALLOWED:
            found.append(
                f"node {node} grew from {early / MEBIBYTE:.1f} to {late / MEBIBYTE:.1f} MiB"
            )
    return found


def lost_in_stream(reports: list[Report]) -> list[str]:
    """List what is missing although the stream has it."""
    return [
        f"node {report['node']} misses {line['missed']} of node {line['sender']}"
        for report in reports
        for line in report["received"]
        if line["missed"].get("gap")
    ]


def growth(sizes: list[int]) -> tuple[float, float]:
    """Return the median size in the second and in the last quarter of the time."""
    quarter = max(1, len(sizes) // 4)
    return (
        statistics.median(sizes[quarter : 2 * quarter] or sizes),
        statistics.median(sizes[-quarter:]),
    )


def table(reports: list[Report], samples: dict[int, list[int]]) -> str:
    """Return one row for each node."""
    rows = [
        (
            "node      sent       got      gap discarded overflow  share  reconnects"
            "  MiB early     late"
        )
    ]
    for report in reports:
        missed: Counter[str] = Counter()
        got = sent = 0
        for other in reports:
            if other is not report:
                for line in lines(report, other["node"]):
                    got += line["got"]
                    missed.update(line["missed"])
                sent += other["sent"]
        early, late = (size / MEBIBYTE for size in growth(samples[report["node"]]))
        rows.append(
            f"{report['node']:>4} {report['sent']:>9} {got:>9} {missed['gap']:>8}"
            f" {missed['discarded']:>9} {missed['overflow']:>8} {got / max(1, sent):>6.1%}"
            f" {report['reconnects']:>11}  {early:>9.1f} {late:>8.1f}"
        )
    return "\n".join(rows)
