"""Contests within one process: several contenders do one job and are timed alternately.

The result of each contender is checked before it is timed. The clock is the CPU time of this
thread, so that other processes disturb less; no job waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from time import thread_time as clock
from timeit import Timer
from typing import Any

import pytest

from benchmarks.figures import Figure

SAMPLE_SECONDS = 0.01

__all__ = ["Contender", "Contest", "Samples", "call", "clock", "drive", "hold", "pairs"]


@dataclass
class Contender:
    """One way to do the job.

    :ivar name: the name; those of fastcoord begin with ``fastcoord``.
    :ivar run: does the job the given number of times, and returns the seconds that it took.
    :ivar events: the number of events (or other items) of one job.
    :ivar version: the version of another library.
    """

    name: str
    run: Callable[[int], float]
    events: int
    version: str = ""


@dataclass
class Contest:
    """One job and its contenders.

    :ivar key: the key in results.
    :ivar title: the job.
    :ivar contenders: the others are compared with the first one.
    """

    key: str
    title: str
    contenders: list[Contender]
    note: str = ""


@dataclass
class Samples:
    """Nanoseconds per event, one for each round."""

    contest: Contest
    by_name: dict[str, list[float]] = field(default_factory=dict)

    def figures(self) -> list[Figure]:
        """Return the median, spread, and ratio to the first one of each contender."""
        base = self.by_name[self.contest.contenders[0].name]
        return [
            Figure.of(name, "ns per event", values, base, less_is_better=True)
            for name, values in self.by_name.items()
        ]


def call(job: Callable[[], object]) -> Callable[[int], float]:
    """Time calls of a function, with the garbage collector disabled."""
    return Timer(job, timer=clock).timeit


def drive(body: Callable[[int], Coroutine[Any, Any, object]]) -> Callable[[int], float]:
    """Time a coroutine function that does the job the given number of times."""

    async def timed(times: int) -> float:
        start = clock()
        await body(times)
        return clock() - start

    def run(times: int) -> float:
        return asyncio.run(timed(times))

    return run


def hold(contest: Contest, *, rounds: int, sample_seconds: float = SAMPLE_SECONDS) -> Samples:
    """Run all contenders alternately; each round begins with the next one.

    :param rounds: the number of samples of each.
    :param sample_seconds: the approximate duration of one sample.
    """
    contenders = contest.contenders
    times = {each.name: repetitions(each, sample_seconds) for each in contenders}
    samples = Samples(contest, {each.name: [] for each in contenders})
    for round_number in range(rounds):
        first = round_number % len(contenders)
        for each in contenders[first:] + contenders[:first]:
            seconds = each.run(times[each.name])
            samples.by_name[each.name].append(seconds * 1e9 / (times[each.name] * each.events))
    return samples


def repetitions(contender: Contender, sample_seconds: float) -> int:
    """Return how many repetitions of the job make a sample."""
    times = 1
    while True:
        seconds = contender.run(times)
        if seconds >= sample_seconds / 2:
            return max(1, round(times * sample_seconds / seconds))
        times *= 4


def pairs(contests: list[Contest]) -> list[Any]:
    """Return all contenders of all contests, as parameters of a test."""
    return [
        pytest.param(contest, each, id=f"{contest.key}-{each.name.replace(' ', '_')}")
        for contest in contests
        for each in contest.contenders
    ]
