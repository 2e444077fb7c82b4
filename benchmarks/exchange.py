"""Events from one process to another, as many a second as go: every peer in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figure
from benchmarks.processes import Failed, Process, events_of, name_of

CHECKED = 5_000
DISTINCT = 10_000
Say = Callable[[str], None]


def run(url: str, peer: str, count: int, *, mode: str, tag: str, **wire: Any) -> dict[str, Any]:
    """Let one peer publish and receive so many events.

    :param mode: ``check`` or ``time``.
    :param tag: makes the subject a new one.
    :param wire: what else goes into the wire of the job.
    :return: events per second, and the processor's seconds of both processes.
    :raises Failed: something did not arrive, or not in its place.
    """
    road = {"url": url, "subject": f"bench.{peer}.{tag}", **wire}
    distinct = count if mode == "check" else DISTINCT
    job = {"peer": peer, "wire": road, "count": count, "distinct": distinct, "patience": 60}
    with (
        Process({**job, "role": "subscribe", "mode": mode}) as subscriber,
        Process({**job, "role": "publish", "mode": mode}) as publisher,
    ):
        subscriber.hear()
        version = publisher.hear()["version"]
        publisher.tell()
        received = subscriber.hear()
        if received["problem"]:
            raise Failed(received["problem"])
        sent = publisher.hear()
    return {
        "version": version,
        "rate": count * 1e9 / (received["end"] - sent["start"]),
        "publisher": sent["cpu"] * 1e9 / count,
        "subscriber": received["cpu"] * 1e9 / count,
    }


def contest(
    url: str,
    names: list[str],
    *,
    rounds: int,
    scale: float,
    say: Say,
    counts: dict[str, int] | None = None,
    **wire: Any,
) -> dict[str, Any]:
    """Let peers run in turns; the first is what the others are compared with.

    :param scale: 1 for runs of about a second.
    :param counts: how many events a peer sends, where that is not its own number.
    :return: figures of the rate and of both processes' CPU, versions, and who failed the check.
    """
    failed: dict[str, str] = {}
    versions: dict[str, str] = {}
    for peer in names:
        try:
            checked = run(url, peer, CHECKED, mode="check", tag="check", **wire)
            versions[peer] = checked["version"]
        except Failed as problem:
            failed[peer] = str(problem)
        say(f"  checked {peer}: {failed.get(peer, 'right')}")
    runs: dict[str, list[dict[str, Any]]] = {peer: [] for peer in names if peer not in failed}
    for turn in range(rounds):
        for peer in list(runs):
            wanted = int((counts or {}).get(peer, events_of(peer)) * scale)
            count = max(DISTINCT, wanted // DISTINCT * DISTINCT)
            try:
                runs[peer].append(run(url, peer, count, mode="time", tag=f"t{turn}", **wire))
            except Failed as problem:
                failed[peer] = str(problem)
                del runs[peer]
                say(f"  {peer}: {problem}")
                continue
            say(f"  {peer}: {runs[peer][-1]['rate']:,.0f} events/s")
    figures = {
        quantity: compare(runs, quantity, unit, less_is_better=quantity != "rate")
        for quantity, unit in (
            ("rate", "events per second"),
            ("publisher", "ns of CPU per event"),
            ("subscriber", "ns of CPU per event"),
        )
    }
    return {
        "figures": figures,
        "versions": {name_of(peer): version for peer, version in versions.items()},
        "failed": {name_of(peer): problem for peer, problem in failed.items()},
        "at": time.strftime("%Y-%m-%d"),
    }


def compare(
    runs: dict[str, list[dict[str, Any]]], quantity: str, unit: str, *, less_is_better: bool
) -> list[dict[str, Any]]:
    """Give everyone's figure of one quantity."""
    if not runs:
        return []
    base = [each[quantity] for each in next(iter(runs.values()))]
    return [
        Figure.of(
            name_of(peer),
            unit,
            [each[quantity] for each in done],
            base,
            less_is_better=less_is_better,
        ).as_dict()
        for peer, done in runs.items()
    ]
