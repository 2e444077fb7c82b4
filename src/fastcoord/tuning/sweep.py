"""Find out whether other values of a setting are clearly better than the present one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastcoord.tuning.measured import cost, is_clearly_better

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastcoord.tuning.measured import Measured

__all__ = ["Swept", "sweep"]

FACTORS = (0.25, 4)
CLOSER_FACTORS = (0.5, 2)
REPEATS = 2


class Swept(NamedTuple):
    """The answer of a sweep."""

    best: int
    """The present value if no other one is clearly better."""
    others: list[int]
    """The other values that were measured."""
    not_measured: dict[int, str]
    """Values whose runs were not valid, with the reason."""


class _Sweep:
    """The runs of one sweep; the arguments are those of :func:`sweep`."""

    def __init__(
        self,
        measure: Callable[[int, int], Awaitable[Measured]],
        has_time: Callable[[], bool],
        present: int,
        base: Measured,
        limits: tuple[int, int],
    ) -> None:
        self._measure = measure
        self._has_time = has_time
        self._smallest, self._largest = limits
        self.present = present
        self.tried = {present: base}
        self.not_measured: dict[int, str] = {}

    @property
    def cheapest(self) -> int:
        return min(self.tried, key=lambda value: cost(self.tried[value].result))

    async def try_multiples(self, value: int, factors: Sequence[float]) -> None:
        for factor in factors:
            multiple = min(self._largest, max(self._smallest, int(value * factor)))
            if multiple in self.tried or multiple in self.not_measured or not self._has_time():
                continue
            run = await self._measure(multiple, 0)
            if run.problem is None:
                self.tried[multiple] = run
            else:
                self.not_measured[multiple] = run.problem

    async def is_better_again(self, best: int) -> bool:
        """Repeat the present and the best value in turn, because single runs differ.

        :return: whether the worst run of the best value is clearly better than each of the present.
        """
        before, after = [self.tried[self.present]], [self.tried[best]]
        for repeat in range(REPEATS + 1):
            if repeat:
                before.append(await self._measure(self.present, repeat))
                after.append(await self._measure(best, repeat))
                if before[-1].problem or after[-1].problem:
                    return False
            least = min(before, key=lambda run: cost(run.result))
            most = max(after, key=lambda run: cost(run.result))
            if not is_clearly_better(most.result, least.result):
                return False
        return True


async def sweep(
    measure: Callable[[int, int], Awaitable[Measured]],
    has_time: Callable[[], bool],
    present: int,
    base: Measured,
    limits: tuple[int, int],
) -> Swept:
    """Try a smaller and a larger value, and values around one that is clearly better.

    :param measure: measures a value; the second argument counts the repetitions.
    :param has_time: whether further values may still be tried.
    :param present: the present value.
    :param base: its run.
    :param limits: the smallest and the largest value to try.
    """
    runs = _Sweep(measure, has_time, present, base, limits)
    await runs.try_multiples(present, FACTORS)
    best = runs.cheapest
    if best == present or not await runs.is_better_again(best):
        best = present
    else:
        await runs.try_multiples(best, CLOSER_FACTORS)
        closest = runs.cheapest
        if is_clearly_better(runs.tried[closest].result, runs.tried[best].result):
            best = closest
    others = [value for value in runs.tried if value != present]
    return Swept(best, others, runs.not_measured)
