"""Contests within one process: one job, several ways to do it, timed in turns.

What each contender makes is checked before anything is timed. The clock counts the processor's time
of this thread alone, so that other programs on the machine disturb less; nothing here ever waits.
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

    :ivar name: who does it; ours are named ``fastcoord``, or begin with that.
    :ivar run: does the job so many times, and gives the seconds that it took.
    :ivar events: how many events (or things) one job is about.
    :ivar version: of the library that does it, when it is not this one.
    """

    name: str
    run: Callable[[int], float]
    events: int
    version: str = ""


@dataclass
class Contest:
    """One job and everyone who does it.

    :ivar key: names it in results.
    :ivar title: says what is timed.
    :ivar contenders: the first is what the others are compared with.
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
        """Give each contender's median, spread, and ratio to the first one."""
        base = self.by_name[self.contest.contenders[0].name]
        return [
            Figure.of(name, "ns per event", values, base, less_is_better=True)
            for name, values in self.by_name.items()
        ]


def call(job: Callable[[], object]) -> Callable[[int], float]:
    """Time calls of an ordinary function; the garbage collector rests meanwhile."""
    return Timer(job, timer=clock).timeit


def drive(body: Callable[[int], Coroutine[Any, Any, object]]) -> Callable[[int], float]:
    """Time a coroutine function that does the job so many times."""

    async def timed(times: int) -> float:
        start = clock()
        await body(times)
        return clock() - start

    def run(times: int) -> float:
        return asyncio.run(timed(times))

    return run


def hold(contest: Contest, *, rounds: int, sample_seconds: float = SAMPLE_SECONDS) -> Samples:
    """Let everyone run in turns, each round beginning with another one.

    :param rounds: how many samples of each are kept.
    :param sample_seconds: about how long one sample takes.
    """
    contenders = contest.contenders
    times = {each.name: repetitions(each, sample_seconds) for each in contenders}
    samples = Samples(contest, {each.name: [] for each in contenders})
    for turn in range(rounds):
        first = turn % len(contenders)
        for each in contenders[first:] + contenders[:first]:
            seconds = each.run(times[each.name])
            samples.by_name[each.name].append(seconds * 1e9 / (times[each.name] * each.events))
    return samples


def repetitions(contender: Contender, sample_seconds: float) -> int:
    """Find how often the job fits into a sample."""
    times = 1
    while True:
        seconds = contender.run(times)
        if seconds >= sample_seconds / 2:
            return max(1, round(times * sample_seconds / seconds))
        times *= 4


def pairs(contests: list[Contest]) -> list[Any]:
    """Give every contender of every contest, as parameters of a test."""
    return [
        pytest.param(contest, each, id=f"{contest.key}-{each.name.replace(' ', '_')}")
        for contest in contests
        for each in contest.contenders
    ]
