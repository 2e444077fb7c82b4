"""What the benchmarks of the hot path share."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.micro import Contender, Contest

EVENTS = 10_000


@pytest.fixture
def compete(benchmark: Any) -> Callable[[Contest, Contender], None]:
    """Time one contender of a contest; a sample is about ten thousand events."""

    def run(contest: Contest, contender: Contender) -> None:
        benchmark.group = contest.title
        # The same number of events for everyone in a contest: the times can then be compared.
        times = max(1, EVENTS // contender.events)
        benchmark.extra_info["events"] = times * contender.events
        benchmark(contender.run, times)

    return run
