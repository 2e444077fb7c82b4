"""Three thousand schedules find no stale read, and find each fault that is planted."""

from typing import Any

import pytest

from coherence.broken import BROKEN
from coherence.facts import Unjust
from coherence.world import judge
from fastcoord.cache.coherence import Coherence

SCHEDULES = 3_000


def test_no_read_is_stale() -> None:
    # A cache that never serves from memory would pass the judge as well.
    assert judge(range(SCHEDULES), Coherence) > 2 * SCHEDULES


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_judge_finds_fault(kind: type[Coherence[Any, Any]]) -> None:
    with pytest.raises(Unjust):
        judge(range(1000), kind)
