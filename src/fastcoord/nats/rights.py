"""The rights that a connection needs on the server, and which of them the server refuses.

The server processes commands in their order, and answers a refused operation with ``-ERR``. If no
``-ERR`` arrives between two PONGs, everything written between their PINGs was permitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from fastcoord.errors import PermissionDenied

if TYPE_CHECKING:
    from fastcoord.config import Config

__all__ = ["Right", "Rights", "denied", "needed_rights", "refused_right"]

MAX_SUBJECTS = 64

Direction = Literal["publish", "subscribe"]

VIOLATION = re.compile(
    rb"permissions violation for (publish|subscription) to \"([^\"\r\n]*)\"", re.IGNORECASE
)


class Right(NamedTuple):
    """The right to publish or to subscribe on one subject.

    :ivar events_subject: the subject of the events, for a right on the presence subject; else
        empty.
    """

    direction: Direction
    subject: str
    events_subject: str = ""

    @property
    def remedy(self) -> str:
        """What the server refuses, and what to grant."""
        return (
            f"the server does not permit this user to {self.direction}"
            f" {'on' if self.direction == 'publish' else 'to'} {self.subject}: grant it with"
            f' permissions: {{ {self.direction}: {{ allow: ["{self.subject}"] }} }}'
        )

    @property
    def way_out(self) -> str:
        """What makes a right on the presence subject unnecessary; else empty."""
        if not self.events_subject:
            return ""
        return (
            "or let presence use the subject of the events: set cluster.presence-subject ="
            f' "{self.events_subject}" on every node of the cluster'
        )

    def denied(self) -> PermissionDenied:
        """Return the exception for a server that refuses this right."""
        return denied([self])


def denied(refused: Sequence[Right]) -> PermissionDenied:
    """Return the exception that names all refused rights.

    :param refused: at least one right. ``subject`` and ``direction`` are those of the first one.
    """
    first = refused[0]
    remedies = "; ".join(right.remedy for right in refused)
    ways_out = dict.fromkeys(right.way_out for right in refused if right.way_out)
    return PermissionDenied(
        ", ".join([remedies, *ways_out]), subject=first.subject, direction=first.direction
    )


def refused_right(line: bytes) -> Right | None:
    """Return the right that an ``-ERR`` line refuses; ``None`` if the error is another one."""
    found = VIOLATION.search(line)
    if found is None:
        return None
    direction: Direction = "publish" if found[1].lower() == b"publish" else "subscribe"
    return Right(direction, found[2].decode("utf-8", "replace"))


def needed_rights(config: Config) -> list[Right]:
    """Return the rights without which a node does not work."""
    events, presence = config.cluster.subject, config.cluster.presence_subject
    rights = [Right("publish", events), Right("subscribe", events)]
    if presence != events:
        rights += [Right("publish", presence, events), Right("subscribe", presence, events)]
    return rights


class Rights:
    """The state of the rights of one connection.

    :param needed: the rights that the node needs.
    """

    def __init__(self, needed: Iterable[Right]) -> None:
        self._needed = {(right.direction, right.subject): right for right in needed}
        self.refused: dict[Right, None] = {}
        """The needed rights that are refused, in the order of the server's reports."""
        self.subjects: set[str] = set()
        """The subjects of refused operations. At most ``MAX_SUBJECTS`` are stored."""
        self._unproven: list[set[Right]] = []

    def refuse(self, reported: Right) -> Right | None:
        """Process the report that an operation was refused.

        :return: the right if it is needed and was not refused until now.
        """
        right = self._needed.get((reported.direction, reported.subject), reported)
        if len(self.subjects) < MAX_SUBJECTS:
            self.subjects.add(right.subject)
        for proof in self._unproven:
            proof.discard(right)
        if (right.direction, right.subject) not in self._needed or right in self.refused:
            return None
        self.refused[right] = None
        return right

    def has_refused_below(self, prefix: str) -> bool:
        """Return whether an operation was refused on a subject that begins with ``prefix``."""
        return any(subject.startswith(prefix) for subject in self.subjects)

    def begin_proof(self) -> None:
        """Begin a proof: all refused rights were used again, and a PING follows."""
        self._unproven.append(set(self.refused))

    @property
    def is_being_proven(self) -> bool:
        """Whether a proof waits for its PONG."""
        return bool(self._unproven)

    def end_proof(self) -> list[Right]:
        """Process the PONG of the oldest proof.

        :return: the rights that were refused before and are granted now.
        """
        granted = [right for right in self._unproven.pop(0) if right in self.refused]
        for right in granted:
            del self.refused[right]
        return granted
