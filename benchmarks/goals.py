"""The performance goals of fastcoord, and whether a run reaches them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import number

Results = dict[str, Any]


@dataclass
class Judged:
    """One goal and the result of a run."""

    what: str
    written: str
    goal: str
    stretch: str
    verdict: str


@dataclass
class Goal:
    """One goal.

    :ivar read: reads the figure from results; ``None`` if the run has not measured it.
    :ivar at_least: the goal if more is better.
    :ivar at_most: the goal if less is better.
    :ivar stretch: a higher goal, in the same unit.
    """

    what: str
    read: Callable[[Results], float | None]
    unit: str = " x"
    at_least: float | None = None
    at_most: float | None = None
    stretch: float = 0.0

    def judge(self, results: Results) -> Judged | None:
        """Judge a run; ``None`` if it has no such figure."""
        try:
            value = self.read(results)
        except (KeyError, IndexError, StopIteration):
            value = None
        if value is None:
            return None
        bar = self.at_least if self.at_least is not None else self.at_most
        assert bar is not None
        rises = self.at_least is not None

        def reaches(limit: float) -> bool:
            return value >= limit if rises else value <= limit

        verdict = "stretch" if reaches(self.stretch) else "yes" if reaches(bar) else "no"
        sign = "" if rises else "at most "
        return Judged(
            self.what,
            f"{number(value)}{self.unit}",
            f"{sign}{number(bar)}{self.unit}",
            f"{sign}{number(self.stretch)}{self.unit}",
            verdict,
        )


def contest(key: str, name: str) -> Callable[[Results], float]:
    """Return a function that reads the ratio of a contender."""

    def read(results: Results) -> float:
        found = next(each for each in results["micro"] if each["key"] == key)
        return float(next(each["ratio"] for each in found["figures"] if each["name"] == name))

    return read


def slower_than(key: str, name: str) -> Callable[[Results], float]:
    """Return a function that reads how many times longer fastcoord takes than a contender."""
    return lambda results: 1 / contest(key, name)(results)


def throughput(part: str, ours: str, theirs: str) -> Callable[[Results], float]:
    """Return a function that reads the ratio of the throughputs of two peers."""

    def read(results: Results) -> float:
        # Each ratio is relative to the first peer.
        ratios = {each["name"]: each["ratio"] for each in results[part]["figures"]["rate"]}
        return float(ratios[theirs] / ratios[ours])

    return read


def delay(theirs: str, ours: str, rate: str = "1000") -> Callable[[Results], float]:
    """Return a function that reads our median latency as a share of another one."""

    def read(results: Results) -> float:
        ways = {each["name"]: each["percentiles"]["50.0"] for each in results["latency"][rate]}
        return float(ways[ours] / ways[theirs])

    return read


def buffered(results: Results) -> float:
    """Return the bytes of a buffered event in a batch of 100."""
    rows = results["footprint"]["memory"]
    return float(next(row["bytes"] for row in rows if "100 events a message" in row["name"]))


def crowd(results: Results) -> float:
    """Return the publisher's CPU with the most subscribers, as a share of that with one."""
    rows = results["growth"]["subscribers"]["rows"]
    first, last = sorted(rows[0]["cores"]), sorted(rows[-1]["cores"])
    return float(last[len(last) // 2] / first[len(first) // 2])


def imported(name: str) -> Callable[[Results], float]:
    """Return a function that reads how many ms longer an import takes than that of nats-py."""

    def read(results: Results) -> float:
        rows = {row["name"]: row["cpu"] for row in results["footprint"]["imports"]}
        return float(rows[name] - rows["nats-py"])

    return read


OURS = "fastcoord"
MANY = "fastcoord, publish_many and batches"
NATS_PY = "nats-py, one event a message, msgspec"
BY_HAND = "nats-py, batches of 100 made by hand, msgspec"
LIBNATS = "libnats (C), one event a message, structs"
C_LOOP = "checked C loop"

ONE_CALL = "fastcoord, one call an event, async for"
LISTS = "fastcoord, publish_many and batches"
RUST = "Rust pipeline, batches of at most 100"
RUST_ONE_EVENT = "Rust pipeline, one event a message"


def called(theirs: str, ours: str, rate: str = "1000") -> Callable[[Results], float]:
    """Find our median delay from the call, as a share of another's."""

    def read(results: Results) -> float:
        ways = {each["name"]: each["called"]["50.0"] for each in results["latency"][rate]}
        return float(ways[ours] / ways[theirs])

    return read


GOALS = (
    Goal(
        "user's loop: one call an event, against batches by hand",
        throughput("user_loop", ONE_CALL, BY_HAND),
        at_least=1.8,
        stretch=2.5,
    ),
    Goal(
        "user's loop: lists and batches, against batches by hand",
        throughput("user_loop", LISTS, BY_HAND),
        at_least=2.5,
        stretch=4,
    ),
    Goal(
        "user's loop: one call an event, against nats-py",
        throughput("user_loop", ONE_CALL, NATS_PY),
        at_least=40,
        stretch=60,
    ),
    Goal(
        "user's loop: lists and batches, against the Rust pipeline",
        throughput("user_loop", LISTS, RUST),
        at_least=1.1,
        stretch=1.5,
    ),
    Goal(
        "user's loop: one call an event, against the Rust pipeline",
        throughput("user_loop", ONE_CALL, RUST),
        at_least=0.9,
        stretch=1.2,
    ),
    Goal(
        "user's loop: one event a message, against the Rust pipeline",
        throughput("user_one_event", ONE_CALL, RUST_ONE_EVENT),
        at_least=0.8,
        stretch=1,
    ),
    Goal(
        "user's loop: one event a message, against libnats",
        throughput("user_one_event", ONE_CALL, LIBNATS),
        at_least=0.8,
        stretch=1,
    ),
    Goal(
        "p50 from the call at 1,000 events/s, share of that of nats-py",
        called(f"{NATS_PY}, asyncio", "fastcoord, asyncio"),
        at_most=0.7,
        stretch=0.5,
    ),
    Goal("encode, against msgspec", contest("encode", "msgspec"), at_least=4, stretch=8),
    Goal("decode, against msgspec", contest("decode", "msgspec"), at_least=8, stretch=12),
    Goal(
        "encode, time of a C loop",
        slower_than("encode", C_LOOP),
        at_most=1.3,
        stretch=0.8,
    ),
    Goal(
        "decode, time of a C loop",
        slower_than("decode", C_LOOP),
        at_most=1.8,
        stretch=1.2,
    ),
    Goal(
        "encode the same batch again, time of a C loop",
        slower_than("encode_same", C_LOOP),
        at_most=1.3,
        stretch=0.8,
    ),
    Goal(
        "decode the same batch again, time of a C loop",
        slower_than("decode_same", C_LOOP),
        at_most=1.8,
        stretch=1.2,
    ),
    Goal("encode mixed batches", contest("encode_mixed", "msgspec"), at_least=3, stretch=5),
    Goal("decode mixed batches", contest("decode_mixed", "msgspec"), at_least=3, stretch=5),
    Goal("make an event by position", contest("make", "msgspec"), at_least=1.5, stretch=2),
    Goal("make an event by keyword", contest("make_keyword", "msgspec"), at_least=1.5, stretch=2),
    Goal(
        "read a field, time of a msgspec Struct",
        slower_than("read", "msgspec"),
        at_most=3,
        stretch=2,
    ),
    Goal(
        "decode and read every field", contest("decode_read", "msgspec"), at_least=1.8, stretch=2.5
    ),
    Goal(
        "decode mixed batches and read every field",
        contest("decode_mixed_read", "msgspec"),
        at_least=1.8,
        stretch=2.5,
    ),
    Goal("ring, against asyncio.Queue", contest("ring", "asyncio.Queue"), at_least=12, stretch=20),
    Goal("bytes per buffered event", buffered, unit="", at_most=16, stretch=12),
    Goal(
        "messages a second, against nats-py",
        throughput("one_event", OURS, NATS_PY),
        at_least=5,
        stretch=10,
    ),
    Goal(
        "the same, against libnats", throughput("one_event", OURS, LIBNATS), at_least=1, stretch=1
    ),
    Goal(
        "events a second, against nats-py",
        throughput("end_to_end", OURS, NATS_PY),
        at_least=60,
        stretch=100,
    ),
    Goal(
        "the same with lists and batches, against nats-py",
        throughput("end_to_end", MANY, NATS_PY),
        at_least=60,
        stretch=100,
    ),
    Goal(
        "events a second, against batches by hand",
        throughput("end_to_end", OURS, BY_HAND),
        at_least=3,
        stretch=5,
    ),
    Goal(
        "the same with lists and batches, against batches by hand",
        throughput("end_to_end", MANY, BY_HAND),
        at_least=3,
        stretch=5,
    ),
    Goal(
        "p50 at 1,000 events/s, share of that of nats-py",
        delay(f"{NATS_PY}, asyncio", "fastcoord, asyncio"),
        at_most=0.5,
        stretch=0.25,
    ),
    Goal(
        "the same, both under uvloop",
        delay(f"{NATS_PY}, uvloop", "fastcoord, uvloop"),
        at_most=0.5,
        stretch=0.25,
    ),
    Goal(
        "p50 under asyncio, share of that of libnats",
        delay(LIBNATS, "fastcoord, asyncio"),
        at_most=1,
        stretch=1,
    ),
    Goal(
        "p50 under uvloop, share of that of libnats",
        delay(LIBNATS, "fastcoord, uvloop"),
        at_most=1,
        stretch=1,
    ),
    Goal(
        "publisher's CPU with 32 subscribers, share of that with 1", crowd, at_most=1.1, stretch=1.1
    ),
    Goal("import, longer than nats-py", imported("fastcoord"), unit=" ms", at_most=20, stretch=0),
    Goal(
        "the same, ready to connect",
        imported("fastcoord, ready to connect"),
        unit=" ms",
        at_most=20,
        stretch=0,
    ),
)


def judged(results: Results) -> list[Judged]:
    """Judge every goal for which a run has a figure."""
    return [found for goal in GOALS if (found := goal.judge(results)) is not None]
