"""The faults that a test has ordered for the connection of one node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fastcoord.testing.message import Message

__all__ = ["Faults", "Loss", "matches"]


def matches(pattern: str, subject: str) -> bool:
    """Return whether a subject matches a pattern with the wildcards of NATS, ``*`` and ``>``."""
    if pattern == subject:
        return True
    wanted, given = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return position < len(given)
        if position >= len(given) or token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)


@dataclass
class Loss:
    """Messages that are lost.

    :ivar remaining: how many more messages are lost; ``None`` for no limit.
    :ivar where: which messages are lost.
    """

    remaining: int | None
    where: Callable[[Message], bool]

    def takes(self, message: Message) -> bool:
        """Return whether this message is lost, and count it."""
        if self.remaining == 0 or not self.where(message):
            return False
        if self.remaining is not None:
            self.remaining -= 1
        return True


@dataclass
class Faults:
    """The faults of the connections of one node, the present one and those that follow.

    :ivar is_cut: whether new connections are refused.
    :ivar is_stalled: whether all bytes wait, and attempts to connect are not answered.
    :ivar is_unauthorized: whether the server refuses the credentials of new connections.
    :ivar delay: how many seconds bytes take in each direction.
    :ivar refused_publish: the patterns of the subjects on which the node may not publish.
    :ivar refused_subscribe: the patterns of the subjects to which it may not subscribe.
    :ivar lost_to_node: the losses between server and node.
    :ivar lost_to_server: the losses between node and server.
    """

    is_cut: bool = False
    is_stalled: bool = False
    is_unauthorized: bool = False
    delay: float = 0.0
    refused_publish: list[str] = field(default_factory=list)
    refused_subscribe: list[str] = field(default_factory=list)
    lost_to_node: list[Loss] = field(default_factory=list)
    lost_to_server: list[Loss] = field(default_factory=list)

    def may_publish(self, subject: str) -> bool:
        """Return whether the node has the right to publish on a subject."""
        return not any(matches(pattern, subject) for pattern in self.refused_publish)

    def may_subscribe(self, subject: str) -> bool:
        """Return whether the node has the right to subscribe to a subject."""
        return not any(matches(pattern, subject) for pattern in self.refused_subscribe)
