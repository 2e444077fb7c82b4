"""Play random schedules for some minutes: ``make simulate``.

Prints the rate, the seeds that were played, and each schedule that breaks a rule, shrunk.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.world import Schedule, play, random_schedule, shrink

SEEDS_AT_ONCE = 50


def fails(schedule: Schedule) -> bool:
    """Return whether a schedule breaks a rule."""
    try:
        play(schedule)
    except AssertionError:
        return True
    return False


def describe(schedule: Schedule) -> str:
    """Write a schedule as Python."""
    actions = ", ".join(
        f"({name!r}, {first}, {second})" for name, first, second in schedule.actions
    )
    return f"Schedule({schedule.seed}, {schedule.servers}, {schedule.nodes}, [{actions}])"


def play_seeds(first: int) -> tuple[int, int, list[str]]:
    """Play some schedules.

    :return: how many, how many messages arrived, and a text for each that breaks a rule.
    """
    messages = 0
    violations = []
    for seed in range(first, first + SEEDS_AT_ONCE):
        schedule = random_schedule(seed)
        try:
            messages += play(schedule)
        except AssertionError as violation:
            small = shrink(schedule, fails)
            violations.append(f"seed {seed}: {violation}\n  shrunk: {describe(small)}")
    return SEEDS_AT_ONCE, messages, violations


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args(arguments)
    started = time.monotonic()
    played = messages = found = 0
    starts = range(options.first, options.first + options.schedules, SEEDS_AT_ONCE)
    with multiprocessing.Pool(options.jobs) as pool:
        for count, moved, violations in pool.imap(play_seeds, starts):
            played += count
            messages += moved
            found += len(violations)
            for violation in violations:
                print(violation, flush=True)
            if time.monotonic() - started > options.seconds:
                pool.terminate()
                break
    seconds = time.monotonic() - started
    print(
        f"{played} schedules (seeds {options.first} to {options.first + played - 1}),"
        f" {messages} messages, {found} violations, {seconds:.0f} s,"
        f" {played / seconds:.0f} schedules a second"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
