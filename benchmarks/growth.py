"""The costs of fastcoord by rate, batch size, subscribers and nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import data, exchange
from benchmarks.latency import LEAD
from benchmarks.micro import codec, hold
from benchmarks.processes import Failed, Process

BATCH_SIZES = (1, 3, 10, 30, 100, 300, 1_000)
BATCH_BYTES = (64, 256, 1_024, 4_096, 16_384, 65_536)
RATES = (1_000, 10_000, 100_000, 1_000_000)
CROWDS = (1, 2, 4, 8, 16, 32)
CROWD_RATE = 50_000
TICKS = 500
"""Wake-ups a second of a publisher with a fixed rate."""

Log = Callable[[str], None]
Rows = list[dict[str, Any]]


def by_batch_size(rounds: int) -> Rows:
    """Measure encoding and decoding in ns per event, by the number of events in a batch."""
    rows = []
    for size in BATCH_SIZES:
        batch_count = max(8, codec.BATCHES * data.BATCH // size)
        batches = [data.state_changes(size, data.SEED + number) for number in range(batch_count)]
        row: dict[str, Any] = {"events": size}
        for key, make in (("encode", codec.one_kind_encode), ("decode", codec.one_kind_decode)):
            contest = make(key, key, batches)
            for figure in hold(contest, rounds=rounds, sample_seconds=0.005).figures():
                row[f"{key} {figure.name}"] = figure.median
        rows.append(row)
    return rows


def by_batch_bytes(url: str, scale: float, rounds: int, log: Log) -> Rows:
    """Measure events per second and CPU per event, by ``capacity.batch-bytes``."""
    rows = []
    for size in BATCH_BYTES:
        # With few events in a message, a run of a second has fewer events.
        count = int(min(2_000_000, 20_000 * size) * scale) // exchange.DISTINCT * exchange.DISTINCT
        done = [
            exchange.run(
                url,
                "fastcoord",
                max(exchange.DISTINCT, count),
                mode="time",
                tag=f"size{size}.{round_number}",
                options={"capacity.batch-bytes": size},
            )
            for round_number in range(rounds)
        ]
        best = max(done, key=lambda each: each["rate"])
        rows.append({"bytes": size, **{key: best[key] for key in best if key != "version"}})
        log(f"  {size} bytes: {best['rate']:,.0f} events/s")
    return rows


def paced(url: str, rate: int, seconds: float, tag: str, **more: Any) -> dict[str, Any]:
    """Send at a fixed rate from one process to another.

    :param more: roles and numbers of nodes, if they differ from one publisher and one subscriber.
    :return: the CPU cores used by both processes.
    :raises Failed: not every event arrived.
    """
    at_once = max(1, rate // TICKS)
    count = max(at_once, int(rate * seconds) // at_once * at_once)
    job = {
        "peer": "fastcoord",
        "wire": {"url": url, "subject": f"bench.growth.{tag}"},
        "count": count,
        "rate": rate,
        "ticks": TICKS,
        "at_once": at_once,
        "mode": "time",
        "patience": int(seconds + 20),
    }
    receiving = {"role": more.get("receiver", "subscribe"), "nodes": more.get("receivers", 1)}
    sending = {"role": more.get("sender", "publish_paced"), "nodes": more.get("senders", 1)}
    with Process({**job, **receiving}) as receiver, Process({**job, **sending}) as sender:
        receiver.receive()
        sender.receive()
        start = time.monotonic_ns() + LEAD
        sender.send(start=start)
        received = receiver.receive()
        if received["problem"]:
            raise Failed(received["problem"])
        sent = sender.receive()
    span = (received["end"] - start) / 1e9
    return {
        "publisher": sent["cpu"] / span if "cpu" in sent else None,
        "subscriber": received["cpu"] / span if "cpu" in received else None,
        "events": count,
        "reached": count / span,
    }


def by_rate(url: str, seconds: float, log: Log) -> Rows:
    """Measure the CPU cores used by publisher and subscriber, by events per second."""
    rows = []
    for rate in RATES:
        rows.append({"rate": rate, **paced(url, rate, seconds, f"rate{rate}")})
        log(f"  {rate:,} events/s: {rows[-1]['publisher']:.3f} cores publish")
    return rows


def by_subscribers(url: str, seconds: float, rounds: int, log: Log) -> dict[str, Any]:
    """Measure the CPU cores used by a publisher, by the number of subscribers."""
    values: dict[int, list[float]] = {crowd: [] for crowd in CROWDS}
    for round_number in range(rounds):
        for crowd in CROWDS:
            done = paced(
                url,
                CROWD_RATE,
                seconds,
                f"subscribers{crowd}.{round_number}",
                receiver="subscribe_crowd",
                receivers=crowd,
            )
            values[crowd].append(done["publisher"])
            log(f"  {crowd} subscribers: {done['publisher']:.3f} cores publish")
    return {
        "rate": CROWD_RATE,
        "rows": [{"subscribers": crowd, "cores": values[crowd]} for crowd in CROWDS],
    }


def by_nodes(url: str, seconds: float, log: Log) -> dict[str, Any]:
    """Measure the CPU cores used by one receiver, by the nodes that share the same rate."""
    rows = []
    for crowd in CROWDS:
        done = paced(
            url,
            CROWD_RATE,
            seconds,
            f"nodes{crowd}",
            sender="publish_crowd",
            senders=crowd,
        )
        rows.append({"publishers": crowd, "cores": done["subscriber"]})
        log(f"  {crowd} publishers: {done['subscriber']:.3f} cores receive")
    return {"rate": CROWD_RATE, "rows": rows}
