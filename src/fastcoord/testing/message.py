"""A message on the bus, as the functions of a test receive it."""

from __future__ import annotations

import re
from functools import cached_property

from fastcoord._codec import Batch, decode_batch
from fastcoord.config import PROTOCOLS

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
        """The events of the message. It is empty for heartbeats, questions and answers.

        Instances of the program's event classes are ``AppEvent`` here.
        """
        return tuple(self._batch)

    @cached_property
    def _batch(self) -> Batch:
        found = HEADER.search(self._headers)
        if found is None:
            return Batch(self.sender, ())
        return decode_batch(self.payload, protocol=PROTOCOLS[found[1][0] - FIRST_PROTOCOL])
