"""Sends the empty batches of a node: heartbeats, hellos, goodbyes, questions and answers.

They carry where the node's events are now, and travel on the presence subject. Stalwart nodes do
not subscribe to it; the ones of version 0.14 and 0.15 would lose events after each message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.publishing.batcher import Batcher

__all__ = ["EmptyBatches"]


class EmptyBatches:
    """The empty batches of one node.

    :param batcher: knows the offsets of the node's events.
    :param subject: the presence subject.
    :param events_subject: the subject of the events.
    :param incarnation: this run of the node.
    """

    def __init__(
        self, batcher: Batcher, subject: str, events_subject: str, incarnation: int
    ) -> None:
        self._batcher = batcher
        self._payload = batcher.empty_payload()
        self._subject = subject.encode()
        self._events_subject = events_subject.encode()
        self._incarnation = incarnation
        self.connection: Connection | None = None
        """The connection in use."""
        self.number = 0
        """How many connections this run of the node had before the present one."""
        self._is_over = False
        self.silence = 0
        """The longest time between two messages of this node, in milliseconds."""

    def send(
        self,
        note: Note = None,
        *,
        subject: bytes | None = None,
        reply: bytes = b"",
        question: bytes = b"",
    ) -> bool:
        """Send an empty batch that shows the offset up to which this connection has the events.

        :param subject: the NATS subject; by default the presence subject.
        :param reply: the subject for answers.
        :param question: the fields of a question or an answer.
        :return: whether there is a connection.
        """
        batcher = self._batcher
        if note is None and batcher.resend:
            # The offset of this batch is smaller than offsets that peers may have received before.
            note = "resend"
        return self._send(
            note, batcher.next_offset, batcher.next_discarded, subject, reply, question
        )

    def begin_run(self, incarnation: int) -> None:
        """Say goodbye for the present run, and continue with another one.

        The goodbye covers all events that were sent or discarded. The others belong to the new run,
        for which the batcher is to be renamed after this call.

        :param incarnation: that of the new run.
        """
        batcher = self._batcher
        offset = batcher.end_of_sent
        self._send("goodbye", offset, offset - batcher.taken, None, b"", b"")
        self._incarnation = incarnation
        self.number = 0
        self._is_over = False

    def renamed(self) -> None:
        """Use the new node id of the batcher."""
        self._payload = self._batcher.empty_payload()

    def probe(self, trace: str, answer: bytes) -> None:
        """Test the right to publish events, without a message to any subscriber.

        The server checks the right and publishes a trace of the message instead of the message.
        Servers older than 2.11 deliver it. It is an answer, because a batch would show the peers a
        node that is up, and this node may fail to join.

        :param trace: the subject of the trace, on which the node may publish.
        :param answer: the fields of an answer that no node expects.
        """
        # The lines that request the trace follow the line of the answer.
        request = f"\r\nNats-Trace-Dest:{trace}\r\nNats-Trace-Only:true"
        self.send("answer", subject=self._events_subject, question=answer + request.encode())

    def send_word(self, subject: bytes, question: bytes) -> bool:
        """Send an answer that shows the offset behind every event that was ever sent.

        No receiver can expect a larger offset of this run.

        :param subject: the NATS subject.
        :param question: the fields of the answer.
        """
        batcher = self._batcher
        offset = batcher.first_unsent
        return self._send("answer", offset, offset - batcher.taken, subject, b"", question)

    def _send(
        self,
        note: Note,
        offset: int,
        discarded: int,
        subject: bytes | None,
        reply: bytes,
        question: bytes,
    ) -> bool:
        if self.connection is None or (self._is_over and note != "goodbye"):
            return False
        # A message behind the goodbye would tell the peers that the node is up.
        self._is_over = note == "goodbye"
        self.connection.publish_empty(
            self._payload,
            self._incarnation,
            offset,
            discarded,
            subject=self._subject if subject is None else subject,
            connection=self.number,
            silence=self.silence,
            note=note,
            reply=reply,
            question=question,
        )
        return True
