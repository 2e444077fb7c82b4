"""What the benchmarks of the hot path share."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.micro import Contender, Contest, repetitions

SAMPLE_SECONDS = 0.002


@pytest.fixture
def compete(benchmark: Any) -> Callable[[Contest, Contender], None]:
    """Time one contender of a contest; a sample is many events."""

    def run(contest: Contest, contender: Contender) -> None:
        benchmark.group = contest.title
        enabled = not benchmark.disabled
        times = repetitions(contender, SAMPLE_SECONDS) if enabled else 1
        benchmark.extra_info["events"] = times * contender.events
        benchmark(contender.run, times)

    return run
