"""Making and reading events."""

from collections.abc import Callable

import pytest

from benchmarks.micro import Contender, Contest, pairs
from benchmarks.micro.objects import contests


@pytest.mark.parametrize(("contest", "contender"), pairs(contests()))
def test_objects(
    compete: Callable[[Contest, Contender], None], contest: Contest, contender: Contender
) -> None:
    compete(contest, contender)
