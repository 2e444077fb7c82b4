"""The contests: events made in the publishing loop, every field read, contenders in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.figures import Figure
from benchmarks.processes import Failed, Process
from benchmarks.user_loop import expected
from benchmarks.user_loop.contenders import command, described, unavailable

BATCHED = ("one_call", "keywords", "lists", "nats_py_single", "nats_py_batched", "rust_batched")
LONE = ("one_call", "nats_py_single", "rust_single", "libnats")
QUICK = ("one_call", "lists", "nats_py_batched")
QUICK_LONE = ("one_call", "nats_py_single")
"""Without programs that have to be compiled first."""
LONE_WIRE = {"kind": "AppEvent", "options": {"capacity.batch-bytes": 64}}
"""Events of which each fills a message of its own."""
LONE_COUNTS = {"one_call": 400_000}
MANY = 8
Log = Callable[[str], None]


class Worker(Process):
    """One process of a contest."""

    def command(self) -> list[str]:
        """Return what is run."""
        return command(self.job)


def run(
    url: str,
    key: str,
    count: int,
    tag: str,
    *,
    producers: int = 1,
    readers: int = 1,
    kind: str = "StateChange",
    options: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Run one contender once.

    :param count: events of each producer.
    :return: events per second that arrived at a reader, and CPU in ns per event of both sides.
    :raises Failed: a reader has not read what was sent.
    """
    wire = {"url": url, "subject": f"bench.user.{key}.{tag}", "kind": kind}
    job = {"peer": key, "patience": 60}
    right = expected(kind, count, producers)

    def place(role: str, index: int, events: int) -> Worker:
        node = {"node": (1 if role == "produce" else 100) + index} if needs_node(key) else {}
        return Worker(
            {
                **job,
                "role": role,
                "count": events,
                "wire": {**wire, "options": {**(options or {}), **node}},
            }
        )

    with ExitStack() as stack:
        reading = [
            stack.enter_context(place("read", index, count * producers)) for index in range(readers)
        ]
        for each in reading:
            each.receive()
        writing = [
            stack.enter_context(place("produce", index, count)) for index in range(producers)
        ]
        for each in writing:
            each.receive()
        for each in writing:
            each.send()
        read = [each.receive() for each in reading]
        for found in read:
            if found["problem"]:
                raise Failed(found["problem"])
            if (found["total"], found["check"]) != (right.total, right.check):
                raise Failed(f"read {found['total']}, {found['check']} instead of {right}")
        sent = [each.receive() for each in writing]
    events = count * producers
    span = max(each["end"] for each in read) - min(each["start"] for each in sent)
    return {
        "rate": events * 1e9 / span,
        "publisher": sum(each["cpu"] for each in sent) * 1e9 / events,
        "subscriber": sum(each["cpu"] for each in read) * 1e9 / events / readers,
    }


def needs_node(key: str) -> bool:
    """Say whether a contender has node ids."""
    return key in ("one_call", "keywords", "lists")


def contest(
    url: str,
    keys: Sequence[str],
    *,
    rounds: int,
    scale: float,
    log: Log,
    counts: dict[str, int] | None = None,
    **wire: Any,
) -> dict[str, Any]:
    """Let contenders run in turn; the first is what the others are compared with.

    :param scale: 1 for runs of about a second.
    """
    absent = {described_name(key): why for key in keys if (why := unavailable(key)) is not None}
    able = [key for key in keys if described_name(key) not in absent]
    runs: dict[str, list[dict[str, float]]] = {key: [] for key in able}
    failed: dict[str, str] = {}
    for turn in range(rounds):
        for key in list(runs):
            count = max(1_000, int((counts or {}).get(key, described(key).events) * scale))
            try:
                runs[key].append(run(url, key, count, f"t{turn}", **wire))
            except Failed as problem:
                failed[described_name(key)] = str(problem)
                del runs[key]
                log(f"  {key}: {problem}")
                continue
            log(f"  {key}: {runs[key][-1]['rate']:,.0f} events/s")
    return {"figures": figures(runs), "failed": failed, "absent": absent}


def described_name(key: str) -> str:
    """Return what tables call a contender, even if it cannot take part."""
    try:
        return described(key).name
    except ImportError:
        return key


def figures(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return the figures of rate and CPU, each compared with the first contender."""
    if not runs:
        return {"rate": [], "publisher": [], "subscriber": []}
    units = {"rate": "events per second", "publisher": "ns of CPU", "subscriber": "ns of CPU"}
    first = next(iter(runs.values()))
    return {
        quantity: [
            Figure.of(
                described_name(key),
                unit,
                [each[quantity] for each in done],
                [each[quantity] for each in first],
                less_is_better=quantity != "rate",
            ).as_dict()
            for key, done in runs.items()
        ]
        for quantity, unit in units.items()
    }


def many(url: str, *, rounds: int, scale: float, log: Log) -> list[dict[str, Any]]:
    """Run fastcoord with one sender and eight receivers, and with eight and one."""
    rows = []
    for key in ("one_call", "lists"):
        for producers, readers in ((1, 1), (1, MANY), (MANY, 1)):
            count = max(1_000, int(described(key).events * scale / 2 / producers))
            done = [
                run(url, key, count, f"m{turn}.{producers}", producers=producers, readers=readers)
                for turn in range(rounds)
            ]
            rates = sorted(each["rate"] for each in done)
            rows.append(
                {
                    "name": described_name(key),
                    "senders": producers,
                    "receivers": readers,
                    "rate": rates[len(rates) // 2],
                    "publisher": sorted(each["publisher"] for each in done)[len(done) // 2],
                    "subscriber": sorted(each["subscriber"] for each in done)[len(done) // 2],
                }
            )
            log(f"  {key}, {producers} to {readers}: {rows[-1]['rate']:,.0f} events/s")
    return rows
