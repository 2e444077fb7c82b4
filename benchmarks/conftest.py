"""Fixtures of the benchmarks of the hot path."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.micro import Contender, Contest

EVENTS = 10_000


@pytest.fixture
def compete(benchmark: Any) -> Callable[[Contest, Contender], None]:
    """Time one contender of a contest, with about ten thousand events in a sample."""

    def run(contest: Contest, contender: Contender) -> None:
        benchmark.group = contest.title
        # All contenders of a contest use the same number of events, so that times can be compared.
        times = max(1, EVENTS // contender.events)
        benchmark.extra_info["events"] = times * contender.events
        benchmark(contender.run, times)

    return run
