"""The throughput of each peer from process to process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figure
from benchmarks.processes import Failed, Process, events_of, name_of

CHECKED = 5_000
DISTINCT = 10_000
Log = Callable[[str], None]


def run(url: str, peer: str, count: int, *, mode: str, tag: str, **wire: Any) -> dict[str, Any]:
    """Run one peer as publisher and as subscriber.

    :param mode: ``check`` or ``time``.
    :param tag: distinguishes the subject of this run.
    :param wire: further fields of :class:`~benchmarks.peers.Wire`.
    :return: events per second, and the CPU time of both processes for each event.
    :raises Failed: an event did not arrive, or not in order.
    """
    fields = {"url": url, "subject": f"bench.{peer}.{tag}", **wire}
    distinct = count if mode == "check" else DISTINCT
    job = {"peer": peer, "wire": fields, "count": count, "distinct": distinct, "patience": 60}
    with (
        Process({**job, "role": "subscribe", "mode": mode}) as subscriber,
        Process({**job, "role": "publish", "mode": mode}) as publisher,
    ):
        subscriber.receive()
        version = publisher.receive()["version"]
        publisher.send()
        received = subscriber.receive()
        if received["problem"]:
            raise Failed(received["problem"])
        sent = publisher.receive()
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
    log: Log,
    counts: dict[str, int] | None = None,
    **wire: Any,
) -> dict[str, Any]:
    """Run peers alternately; the others are compared with the first one.

    :param scale: 1 for runs of about a second.
    :param counts: the number of events of a peer, if it differs from its ``EVENTS``.
    :return: figures of the rate and of the CPU time of both processes, versions, and failures.
    """
    failed: dict[str, str] = {}
    versions: dict[str, str] = {}
    for peer in names:
        try:
            checked = run(url, peer, CHECKED, mode="check", tag="check", **wire)
            versions[peer] = checked["version"]
        except Failed as problem:
            failed[peer] = str(problem)
        log(f"  checked {peer}: {failed.get(peer, 'correct')}")
    runs: dict[str, list[dict[str, Any]]] = {peer: [] for peer in names if peer not in failed}
    for number in range(rounds):
        for peer in list(runs):
            wanted = int((counts or {}).get(peer, events_of(peer)) * scale)
            count = max(DISTINCT, wanted // DISTINCT * DISTINCT)
            try:
                runs[peer].append(run(url, peer, count, mode="time", tag=f"t{number}", **wire))
            except Failed as problem:
                failed[peer] = str(problem)
                del runs[peer]
                log(f"  {peer}: {problem}")
                continue
            log(f"  {peer}: {runs[peer][-1]['rate']:,.0f} events/s")
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
    """Return the figures of all peers for one quantity."""
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
