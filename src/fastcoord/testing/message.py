"""A message on the bus, as the functions of a test receive it."""

from __future__ import annotations

import re
from functools import cached_property

import msgspec

from fastcoord._codec import decode_batch
from fastcoord.config import PROTOCOLS
from fastcoord.events import AppEvent, Event
from fastcoord.wire.typed import class_of_kind

__all__ = ["Message"]

HEADER = re.compile(rb"\r\nF: ?1([a-z])")
FIRST_PROTOCOL = ord("a")


class Message:
    """One message on its way from a node to another one.

    :ivar subject: the NATS subject.
    :ivar sender: the id of the node that published it.
    :ivar receiver: the id of the node for which it is; ``None`` on the way to the server.
    :ivar payload: the bytes behind the headers.
    """

    def __init__(
        self, subject: str, sender: int, receiver: int | None, headers: bytes, payload: bytes
    ) -> None:
        self.subject = subject
        self.sender = sender
        self.receiver = receiver
        self.payload = payload
        self._headers = headers

    def __repr__(self) -> str:
        to = "the server" if self.receiver is None else f"node {self.receiver}"
        return f"<Message on {self.subject} from node {self.sender} to {to}: {self.events!r}>"

    @cached_property
    def events(self) -> tuple[object, ...]:
        """The events of the message, as a subscription delivers them.

        It is empty for heartbeats, questions and answers.
        """
        found = HEADER.search(self._headers)
        if found is None:
            return ()
        protocol = PROTOCOLS[found[1][0] - FIRST_PROTOCOL]
        return tuple(_instance(event) for event in decode_batch(self.payload, protocol=protocol))


def _instance(event: Event) -> object:
    """Return the instance of the program's event class, if the event is one of its events."""
    found = class_of_kind(event.kind) if isinstance(event, AppEvent) else None
    if found is None or not isinstance(event, AppEvent):
        return event
    try:
        return msgspec.msgpack.decode(event.payload, type=found.type)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return event
