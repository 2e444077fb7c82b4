"""The subjects on which nodes receive answers to their questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.nats.connection import Connection

__all__ = ["REPLY_SID", "ReplySubject"]

REPLY_SID = 3


class ReplySubject:
    """The reply subject of one node, and what it may be for others.

    The sender of a message chooses its reply subject, and anybody may be its sender. So a node
    answers only on the presence subject, or on the one that names the sender of the question.

    :param presence_subject: ``cluster.presence-subject``.
    :param node_id: the id of the node, and its incarnation.
    """

    def __init__(self, presence_subject: str, node_id: int, incarnation: int) -> None:
        self._presence_subject = presence_subject
        self._shared = presence_subject.encode()
        self._own = self._of(node_id, incarnation)
        self._is_refused = False
        self._connection: Connection | None = None

    def _of(self, node_id: int, incarnation: int) -> bytes:
        return f"{self._presence_subject}.{node_id}.{incarnation}".encode()

    def subscribe(self, connection: Connection) -> None:
        """Subscribe on a new connection."""
        self._connection = connection
        self._is_refused = False
        connection.subscribe(self._own.decode(), REPLY_SID)

    def disconnected(self) -> None:
        """Note that the connection is lost."""
        self._connection = None

    def begin_run(self, node_id: int, incarnation: int) -> None:
        """Continue with another id and another incarnation."""
        connection = self._connection
        if connection is not None:
            # Without the right to one of these subjects, the node has no right to the next one.
            self._is_refused |= self.was_refused
            connection.unsubscribe(REPLY_SID)
        self._own = self._of(node_id, incarnation)
        if connection is not None and not self._is_refused:
            connection.subscribe(self._own.decode(), REPLY_SID)

    @property
    def was_refused(self) -> bool:
        """Whether the server has refused the subject of this run on the present connection."""
        return self._connection is not None and self._connection.has_refused(self._own.decode())

    @property
    def own(self) -> bytes:
        """The subject for answers to this node's questions."""
        if self._connection is None or self._is_refused or self.was_refused:
            # Every node receives such an answer, and all but this one ignore it.
            return self._shared
        return self._own

    def is_allowed(self, reply: bytes, node_id: int, incarnation: int) -> bool:
        """Return whether a question of this run may be answered on a subject."""
        return reply in (self._shared, self._of(node_id, incarnation))

    def usable(self, reply: bytes) -> bytes:
        """Return a subject on which the server lets this node answer.

        :param reply: the subject that the question names.
        """
        connection = self._connection
        if connection is not None and connection.has_refused_below(f"{self._presence_subject}."):
            return self._shared
        return reply
