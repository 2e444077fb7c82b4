"""Ring and cursor, compared with a queue."""

from collections.abc import Callable

import pytest

from benchmarks.micro import Contender, Contest, pairs
from benchmarks.micro.passing import contests


@pytest.mark.parametrize(("contest", "contender"), pairs(contests()))
def test_ring(
    compete: Callable[[Contest, Contender], None], contest: Contest, contender: Contender
) -> None:
    compete(contest, contender)
