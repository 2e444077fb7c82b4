"""Find the smallest value of a setting that suffices, by as few trials as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Bracket", "NoneSuffices", "find_bracket"]

CLOSE_ENOUGH = 1.15
"""The search ends when the failing and the sufficient value differ by this factor."""

FAR_BELOW = 4
CLOSE_ENOUGH_FAR_BELOW = 2
"""The factor if the present value is ``FAR_BELOW`` times larger: it suffices in any case."""

MOST_DOUBLINGS = 4


class NoneSuffices(Exception):
    """Even a value that is many times larger than the start does not suffice.

    :ivar value: the largest value that was tried.
    """

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class Bracket(NamedTuple):
    """Two values between which the smallest sufficient one is."""

    failing: int
    """The largest value that failed; 0 if none did."""
    good: int
    """The smallest value that sufficed."""


async def find_bracket(
    suffices: Callable[[int], Awaitable[bool]],
    has_time: Callable[[], bool],
    *,
    present: int,
    is_present_good: bool,
    start: int,
) -> Bracket:
    """Find a value that suffices and one that fails, then halve the interval between them.

    :param suffices: tries a value.
    :param has_time: whether smaller values may still be tried. A value that suffices is always
        sought.
    :param present: a value that has been tried.
    :param is_present_good: whether it suffices.
    :param start: the value that is likely to suffice.
    :raises NoneSuffices: no value suffices.
    """
    if is_present_good:
        found = await _find_failing(suffices, has_time, min(start, present), present)
    else:
        found = await _find_good(suffices, present, start)
    failing, good = found
    is_far = is_present_good and good * FAR_BELOW <= present
    factor = CLOSE_ENOUGH_FAR_BELOW if is_far else CLOSE_ENOUGH
    while good > max(failing * factor, failing + 1) and failing and has_time():
        middle = int((failing * good) ** 0.5)
        if middle in (failing, good):
            break
        if await suffices(middle):
            good = middle
        else:
            failing = middle
    return Bracket(failing, good)


async def _find_good(
    suffices: Callable[[int], Awaitable[bool]], failing: int, start: int
) -> Bracket:
    """Double a value until it suffices."""
    value = max(start, failing + 1)
    for _ in range(MOST_DOUBLINGS):
        if await suffices(value):
            return Bracket(failing, value)
        failing, value = value, value * 2
    raise NoneSuffices(failing)


async def _find_failing(
    suffices: Callable[[int], Awaitable[bool]],
    has_time: Callable[[], bool],
    start: int,
    good: int,
) -> Bracket:
    """Divide a value until it fails: by 2, then by 4, 16 and so on."""
    value, divisor = start, 2
    while has_time():
        if not await suffices(value):
            return Bracket(value, good)
        if value == 1:
            return Bracket(0, 1)
        good, value, divisor = value, max(1, value // divisor), divisor * divisor
    return Bracket(0, good)
