"""Random and directed schedules on a model of servers; ``make simulate`` plays many more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulation.rules_off import RULES_OFF, switched_off
from simulation.schedules import DIRECTED, LATE_HELLO, STALE_ANSWER
from simulation.world import Action, Schedule, first_violation, play, random_schedule, shrink
from support.scale import repeats

SEEDS = repeats(100, long=2_000)


def with_seeds(schedule: Schedule, count: int = 20) -> Iterator[Schedule]:
    """Yield a schedule in worlds in which other things happen by chance."""
    for seed in range(schedule.seed, schedule.seed + count):
        yield schedule._replace(seed=seed)


@pytest.mark.parametrize("part", range(4))
def test_random_schedules_break_no_rule(part: int) -> None:
    for seed in range(part * SEEDS, (part + 1) * SEEDS):
        play(random_schedule(seed))


def test_stale_answer_is_ignored() -> None:
    for schedule in with_seeds(STALE_ANSWER):
        play(schedule)


def test_late_hello_hides_no_loss() -> None:
    for schedule in with_seeds(LATE_HELLO):
        play(schedule)


@pytest.mark.parametrize("rule", RULES_OFF)
def test_directed_schedule_needs_rule(rule: str) -> None:
    assert first_violation(with_seeds(DIRECTED[rule])) is None
    with switched_off(rule):
        assert first_violation(with_seeds(DIRECTED[rule])) is not None


def test_every_rule_is_directed() -> None:
    assert set(DIRECTED) == set(RULES_OFF)


def test_same_seed_plays_the_same() -> None:
    assert play(random_schedule(7)) == play(random_schedule(7)) > 0


def test_shrunk_schedule_still_fails() -> None:
    def fails(schedule: Schedule) -> bool:
        return first_violation([schedule]) is not None

    with switched_off("9 absences are not reported"):
        small = shrink(random_schedule(0), fails)
        assert fails(small)
    assert len(small.actions) == 1


def test_unknown_action_is_an_error() -> None:
    with pytest.raises(AttributeError, match="do_nothing"):
        play(Schedule(1, 1, 2, [Action("nothing")]))
