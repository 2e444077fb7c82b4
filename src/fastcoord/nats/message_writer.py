"""Writes messages, subscriptions and PINGs to a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from fastcoord.config import PROTOCOLS
from fastcoord.nats.frames import compose
from fastcoord.nats.stream_frames import compose_for_stream
from fastcoord.wire.sealed_batch import SealedBatch

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.transport import MessageTransport

__all__ = ["MessageWriter", "Note"]

Note = Literal["resend", "goodbye", "hello", "who", "progress", "answer"] | None
"""The note in the sequence header of a message; ``None`` for an ordinary batch or a heartbeat."""


class MessageWriter:
    """Write the frames of a node to its connection.

    :param config: the configuration.
    :param transport: the transport of the connection.
    """

    def __init__(self, config: Config, transport: MessageTransport) -> None:
        self._transport = transport
        self._subject = config.cluster.subject.encode()
        self._protocol = PROTOCOLS.index(config.cluster.protocol)
        self._subscriptions: dict[str, int] = {}

    def subscribe(self, subject: str, sid: int) -> None:
        """Subscribe to a subject; the caller chooses the subscription id."""
        self._subscriptions[subject] = sid
        self._transport.send(f"SUB {subject} {sid}\r\n".encode())

    def subscribe_once(self, subject: str, sid: int) -> None:
        """Subscribe to a subject for one message only."""
        self._transport.send(f"SUB {subject} {sid}\r\nUNSUB {sid} 1\r\n".encode())

    def receive(self, subject: str, sid: int) -> None:
        """Subscribe to a subject that only this connection uses."""
        self._transport.send(f"SUB {subject} {sid}\r\n".encode())

    def unsubscribe(self, sid: int) -> None:
        """End a subscription."""
        self._transport.send(f"UNSUB {sid}\r\n".encode())

    def publish(
        self,
        incarnation: int,
        discarded: int,
        batches: list[SealedBatch],
        *,
        connection: int = 0,
        note: Note = None,
        answered: Callable[[], None] | None = None,
    ) -> int:
        """Send batches in their order.

        :param connection: how many connections this run of the node had before this one.
        :param answered: called when the server has confirmed the batches.
        :return: the number of bytes written.
        """
        ping = answered is not None
        frames = compose(
            self._subject,
            self._protocol,
            incarnation,
            discarded,
            batches,
            connection=connection,
            note=note,
            ping=ping,
        )
        self._transport.send(frames, answered)
        return len(frames)

    def publish_to_stream(
        self,
        incarnation: int,
        discarded: int,
        batches: list[SealedBatch],
        *,
        reply: bytes,
        number: int,
        attempt: int = 0,
        connection: int = 0,
        note: Note = None,
    ) -> int:
        """Send batches that a stream acknowledges.

        :param reply: the subject of the acknowledgements, with a dot at the end.
        :param number: the number of the first batch, which follows that dot.
        :param attempt: how often the stream was asked to store the batches again.
        :return: the number of bytes written.
        """
        frames = compose_for_stream(
            self._subject,
            reply,
            number,
            self._protocol,
            incarnation,
            discarded,
            batches,
            connection=connection,
            attempt=attempt,
            note=note,
        )
        self._transport.send(frames)
        return len(frames)

    def publish_empty(
        self,
        payload: bytes,
        incarnation: int,
        offset: int,
        discarded: int,
        *,
        subject: bytes | None = None,
        connection: int = 0,
        silence: int = 0,
        note: Note = None,
        reply: bytes = b"",
        question: bytes = b"",
    ) -> None:
        """Send a batch without events: a heartbeat, a hello, a goodbye, a question or an answer.

        :param subject: by default the cluster's subject. It must not contain blanks.
        :param connection: how many connections this run of the node had before this one.
        :param silence: the longest pause between two messages of this node, in milliseconds.
        :param reply: the subject for answers, without blanks.
        :param question: the value of the second header line.
        """
        frame = compose(
            self._subject if subject is None else subject,
            self._protocol,
            incarnation,
            discarded,
            [SealedBatch(payload, offset, 0)],
            connection=connection,
            silence=silence,
            note=note,
            reply=reply,
            question=question,
        )
        self._transport.send(frame)

    def publish_raw(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Publish one message. ``subject`` and ``reply`` must not contain blanks."""
        words = b" ".join([b"PUB", subject, *([reply] if reply else []), b"%d" % len(payload)])
        self._transport.send(words + b"\r\n" + payload + b"\r\n")

    def ping(self, answered: Callable[[], None]) -> None:
        """Send a PING; call ``answered`` when its PONG confirms all that was sent before."""
        self._transport.ping(answered)
