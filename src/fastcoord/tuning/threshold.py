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
    is_close: bool
    """Whether they are close to each other; otherwise no time was left for values between them."""


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
        failing, good = await _find_failing(suffices, has_time, min(start, present), present)
    else:
        failing, good = await _find_good(suffices, present, start)
    is_far = is_present_good and good * FAR_BELOW <= present
    factor = CLOSE_ENOUGH_FAR_BELOW if is_far else CLOSE_ENOUGH

    def is_close() -> bool:
        # Between 1 and 3, for example, the next value to try would be 1 again.
        return good <= max(failing * factor, failing + 1) or middle() in (failing, good)

    def middle() -> int:
        return int((max(1, failing) * good) ** 0.5)

    while failing and not is_close() and has_time():
        value = middle()
        if await suffices(value):
            good = value
        else:
            failing = value
    return Bracket(failing, good, is_close())


async def _find_good(
    suffices: Callable[[int], Awaitable[bool]], failing: int, start: int
) -> tuple[int, int]:
    """Double a value until it suffices."""
    value = max(start, failing + 1)
    for _ in range(MOST_DOUBLINGS):
        if await suffices(value):
            return failing, value
        failing, value = value, value * 2
    raise NoneSuffices(failing)


async def _find_failing(
    suffices: Callable[[int], Awaitable[bool]],
    has_time: Callable[[], bool],
    start: int,
    good: int,
) -> tuple[int, int]:
    """Divide a value until it fails: by 2, then by 4, 16 and so on.

    If the first value fails already, multiply it until it suffices: the need is hardly larger, and
    the value that is known to suffice may be thousands of times larger.
    """
    value, factor = start, 2
    while has_time():
        if not await suffices(value):
            return (
                (value, good) if value != start else await _raise(suffices, has_time, start, good)
            )
        if value == 1:
            return 0, 1
        good, value, factor = value, max(1, value // factor), factor * factor
    return 0, good


async def _raise(
    suffices: Callable[[int], Awaitable[bool]],
    has_time: Callable[[], bool],
    failing: int,
    good: int,
) -> tuple[int, int]:
    """Multiply a value that failed by 2, then by 4, 16 and so on, until it suffices."""
    factor = 2
    while failing * factor < good and has_time():
        value = failing * factor
        if await suffices(value):
            return failing, value
        failing, factor = value, factor * factor
    return failing, good
