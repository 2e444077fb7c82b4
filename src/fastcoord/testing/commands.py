"""Parses what a NATS client sends to a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "Command",
    "CommandParser",
    "Connect",
    "Ping",
    "ProtocolViolation",
    "Publish",
    "Subscribe",
    "Unsubscribe",
]

MAX_LINE = 1 << 16


class ProtocolViolation(Exception):
    """The client sent something that is no command."""


class Connect(NamedTuple):
    """CONNECT, with its options."""

    options: dict[str, Any]


class Ping(NamedTuple):
    """PING."""


class Publish(NamedTuple):
    """PUB or HPUB.

    :ivar headers: the header block, or ``None`` for PUB.
    """

    subject: str
    reply: str
    headers: bytes | None
    payload: bytes


class Subscribe(NamedTuple):
    """SUB without a queue group."""

    subject: str
    sid: str


class Unsubscribe(NamedTuple):
    """UNSUB.

    :ivar after: after how many messages the subscription ends; 0 for at once.
    """

    sid: str
    after: int


Command: TypeAlias = Connect | Ping | Publish | Subscribe | Unsubscribe


class CommandParser:
    """Split the bytes of one client into commands."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Command]:
        """Add bytes, and return the commands that are complete.

        :raises ProtocolViolation: the bytes are no command.
        """
        self._data += data
        while True:
            end = self._data.find(b"\r\n")
            if end < 0:
                if len(self._data) > MAX_LINE:
                    raise ProtocolViolation("Maximum Control Line Exceeded")
                return
            line = self._data[:end].decode("utf-8", "replace")
            name, _, rest = line.partition(" ")
            name = name.upper()
            if name in ("PUB", "HPUB"):
                message = self._message(name, rest.split(), end + 2)
                if message is None:
                    return
                yield message
                continue
            del self._data[: end + 2]
            command = self._control(name, rest)
            if command is not None:
                yield command

    def _message(self, name: str, words: list[str], start: int) -> Publish | None:
        """Read a message whose line ends before ``start``; ``None`` if it is not complete."""
        sizes = 2 if name == "HPUB" else 1
        try:
            *subjects, _ = words
            header_size = int(words[-2]) if sizes == 2 else 0
            size = int(words[-1])
            subject, reply = [*subjects[: len(words) - sizes], ""][:2]
        except ValueError:
            raise ProtocolViolation("Parser Error") from None
        end = start + size
        if len(self._data) < end + 2:
            return None
        body = bytes(self._data[start:end])
        if self._data[end : end + 2] != b"\r\n" or header_size > size:
            raise ProtocolViolation("Parser Error")
        del self._data[: end + 2]
        headers = body[:header_size] if sizes == 2 else None
        return Publish(subject, reply, headers, body[header_size:])

    def _control(self, name: str, rest: str) -> Command | None:
        words = rest.split()
        try:
            if name == "PING":
                return Ping()
            if name == "PONG":
                return None
            if name == "CONNECT":
                return Connect(json.loads(rest))
            if name == "SUB":
                subject, sid = words
                return Subscribe(subject, sid)
            if name == "UNSUB":
                return Unsubscribe(words[0], int(words[1]) if len(words) > 1 else 0)
        except (ValueError, IndexError):
            raise ProtocolViolation("Parser Error") from None
        raise ProtocolViolation("Unknown Protocol Operation")
