"""Find the smallest value of a setting that suffices, by as few trials as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Try = Callable[[int], Awaitable[bool | None]]

__all__ = ["Bracket", "NoneSuffices", "find_bracket"]

CLOSE_ENOUGH = 1.15
"""The search ends when the failing and the sufficient value differ by this factor."""

FAR_BELOW = 4
CLOSE_ENOUGH_FAR_BELOW = 2
"""The factor if the present value is ``FAR_BELOW`` times larger: it suffices in any case."""

MOST_DOUBLINGS = 4


class NoneSuffices(Exception):
    """Even a value that is many times larger than the start does not suffice.

    :ivar value: the largest value that failed; 0 if none could be measured.
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
    suffices: Try,
    has_time: Callable[[], bool],
    *,
    present: int,
    is_present_good: bool | None,
    start: int,
) -> Bracket:
    """Find a value that suffices and one that fails, then halve the interval between them.

    :param suffices: tries a value. A value that could not be measured is skipped; neither end of
        the interval is such a value.
    :param has_time: whether smaller values may still be tried. A value that suffices is always
        sought.
    :param present: a value that has been tried.
    :param is_present_good: whether it suffices; ``None`` if it could not be measured.
    :param start: the value that is likely to suffice.
    :raises NoneSuffices: no value suffices.
    """
    if is_present_good:
        failing, good = await _find_failing(suffices, has_time, min(start, present), present)
    else:
        failing, good = await _find_good(suffices, 0 if is_present_good is None else present, start)
    is_far = is_present_good and good * FAR_BELOW <= present
    factor = CLOSE_ENOUGH_FAR_BELOW if is_far else CLOSE_ENOUGH

    def is_close(low: int) -> bool:
        # Between 1 and 3, for example, the next value to try would be 1 again.
        return good <= max(low * factor, low + 1) or middle(low) in (low, good)

    def middle(low: int) -> int:
        return int((max(1, low) * good) ** 0.5)

    low = failing  # or a value above it that could not be measured
    while failing and not is_close(low) and has_time():
        value = middle(low)
        is_good = await suffices(value)
        if is_good:
            good = value
        else:
            low = value
            failing = value if is_good is False else failing
    return Bracket(failing, good, is_close(failing))


async def _find_good(suffices: Try, failing: int, start: int) -> tuple[int, int]:
    """Double a value until it suffices."""
    value = max(start, failing + 1)
    for _ in range(MOST_DOUBLINGS):
        is_good = await suffices(value)
        if is_good:
            return failing, value
        failing, value = value if is_good is False else failing, value * 2
    raise NoneSuffices(failing)


async def _find_failing(
    suffices: Try,
    has_time: Callable[[], bool],
    start: int,
    good: int,
) -> tuple[int, int]:
    """Divide a value until it fails: by 2, then by 4, 16 and so on.

    If the first value fails already, multiply it until it suffices: the need is hardly larger, and
    the value that is known to suffice may be thousands of times larger.
    """
    value, factor, has_sufficed = start, 2, False
    while has_time():
        is_good = await suffices(value)
        if is_good is False:
            if has_sufficed:
                return value, good
            return await _raise(suffices, has_time, value, good)
        if is_good:
            good, has_sufficed = value, True
        if value == 1:
            break
        value, factor = max(1, value // factor), factor * factor
    return 0, good


async def _raise(
    suffices: Try,
    has_time: Callable[[], bool],
    failing: int,
    good: int,
) -> tuple[int, int]:
    """Multiply a value that failed by 2, then by 4, 16 and so on, until it suffices."""
    value, factor = failing * 2, 2
    while value < good and has_time():
        is_good = await suffices(value)
        if is_good:
            return failing, value
        failing, factor = value if is_good is False else failing, factor * factor
        value *= factor
    return failing, good
