"""What the rules decide about a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fastcoord.events import Notice

__all__ = ["Verdict"]


class Verdict(NamedTuple):
    """What the receiver does with a batch, and what it counts.

    :ivar skip: how many events at the start are not delivered.
    :ivar deliver: how many events after them are delivered.
    :ivar duplicates: how many events were delivered before.
    :ivar late: how many events are dropped as late.
    :ivar is_malformed: whether a part of the message cannot be used.
    :ivar notice: the notice that is reported behind the events, or ``None``.
    """

    skip: int = 0
    deliver: int = 0
    duplicates: int = 0
    late: int = 0
    is_malformed: bool = False
    notice: Notice | None = None
