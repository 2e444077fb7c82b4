"""Encoding and decoding batches."""

from collections.abc import Callable

import pytest

from benchmarks.micro import Contender, Contest, pairs
from benchmarks.micro.codec import contests


@pytest.mark.parametrize(("contest", "contender"), pairs(contests()))
def test_codec(
    compete: Callable[[Contest, Contender], None], contest: Contest, contender: Contender
) -> None:
    compete(contest, contender)
