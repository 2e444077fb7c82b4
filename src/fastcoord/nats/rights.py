"""The rights that a connection needs on the server, and which of them the server refuses.

The server reports a refused operation with ``-ERR`` in its place among the PONGs: a PONG without an
``-ERR`` between it and the one before proves that everything written between the two PINGs was
permitted.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from fastcoord.errors import PermissionDenied

__all__ = ["Right", "Rights", "refused_right"]

MAX_SUBJECTS = 64

Direction = Literal["publish", "subscribe"]

VIOLATION = re.compile(
    rb"permissions violation for (publish|subscription) to \"([^\"\r\n]*)\"", re.IGNORECASE
)


class Right(NamedTuple):
    """The right to publish or to subscribe on one subject."""

    direction: Direction
    subject: str

    def denied(self) -> PermissionDenied:
        """Return the exception for a server that refuses it."""
        return PermissionDenied(
            f"the server does not permit this user to {self.direction}"
            f" {'on' if self.direction == 'publish' else 'to'} {self.subject}: grant it with"
            f' permissions: {{ {self.direction}: {{ allow: ["{self.subject}"] }} }}',
            subject=self.subject,
            direction=self.direction,
        )


def refused_right(line: bytes) -> Right | None:
    """Return the right that an ``-ERR`` line is about; ``None`` if it is about something else."""
    found = VIOLATION.search(line)
    if found is None:
        return None
    direction: Direction = "publish" if found[1].lower() == b"publish" else "subscribe"
    return Right(direction, found[2].decode("utf-8", "replace"))


class Rights:
    """The state of the rights of one connection.

    :param needed: the rights without which the node cannot work.
    """

    def __init__(self, needed: frozenset[Right]) -> None:
        self.needed = needed
        self.refused: dict[Right, None] = {}
        """Refused ones, in the order of the server's reports."""
        self.subjects: set[str] = set()
        """Subjects on which the server has refused something, at most ``MAX_SUBJECTS``."""
        self._unproven: list[set[Right]] = []

    def refuse(self, right: Right) -> bool:
        """Process the report that an operation was refused.

        :return: whether the right is needed and was not known to be refused.
        """
        if len(self.subjects) < MAX_SUBJECTS:
            self.subjects.add(right.subject)
        for proof in self._unproven:
            proof.discard(right)
        if right not in self.needed or right in self.refused:
            return False
        self.refused[right] = None
        return True

    def begin_proof(self) -> None:
        """Note that a PING was written behind operations that use all refused rights."""
        self._unproven.append(set(self.refused))

    @property
    def is_being_proven(self) -> bool:
        """Whether the PONG of a proof is outstanding."""
        return bool(self._unproven)

    def end_proof(self) -> list[Right]:
        """Process the PONG of the oldest proof.

        :return: the rights that were refused before and are granted now.
        """
        granted = [right for right in self._unproven.pop(0) if right in self.refused]
        for right in granted:
            del self.refused[right]
        return granted
