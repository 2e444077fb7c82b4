"""Show received messages with their header and bytes, for ``fastcoord listen --raw``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastcoord._codec import decode_batch
from fastcoord.cli.event_text import event_text
from fastcoord.errors import DecodeError
from fastcoord.events import to_builtins
from fastcoord.nats.parser import MessageSink

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Message", "RawSink"]

BYTES_PER_LINE = 16


class Message:
    """One received message.

    :param header: the sequence header, ``"malformed"``, or ``None`` if there is none.
    :param payload: the payload.
    :param protocol: the protocol to decode it with.
    """

    def __init__(self, header: object, payload: bytes, protocol: str) -> None:
        self.header = header
        self.payload = payload
        self.reason: str | None = None
        self.offset: int | None = None
        try:
            batch = decode_batch(payload, protocol=protocol)
            self.node_id: int | None = batch.node_id
            self.events = list(batch)
        except DecodeError as error:
            self.node_id = error.node_id
            self.events = list(error.decoded)
            self.offset, self.reason = error.offset, error.message

    def lines(self) -> list[str]:
        """Format the message: a summary, the bytes, and the events or the reason."""
        node = "no node id" if self.node_id is None else f"node {self.node_id}"
        header = "no sequence header" if self.header is None else f"header {_header(self.header)}"
        lines = [f"{node}  {len(self.payload)} bytes  {header}"]
        for start in range(0, len(self.payload), BYTES_PER_LINE):
            row = self.payload[start : start + BYTES_PER_LINE]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            lines.append(f"  {start:06x}  {row.hex(' '):<{3 * BYTES_PER_LINE}} {text}")
        lines += [f"  {event_text(event)}" for event in self.events]
        if self.reason is not None:
            lines.append(f"  stopped: {self.reason}")
        return lines

    def as_builtins(self) -> dict[str, Any]:
        """Return the message as plain values for JSON."""
        return {
            "node_id": self.node_id,
            "header": self.header,
            "payload": self.payload.hex(),
            "offset": self.offset,
            "error": self.reason,
            "events": [to_builtins(event) for event in self.events],
        }


class RawSink(MessageSink):
    """Pass each received message to a function.

    :param protocol: the protocol to decode messages with.
    :param write: the function. Its arguments are the time of arrival, in seconds since the epoch,
        and the message.
    :ivar nodes: the kind of each node that has sent a message, by node id. A message of a Stalwart
        node has no sequence header.
    """

    def __init__(self, protocol: str, write: Callable[[float, Message], None]) -> None:
        self._protocol = protocol
        self._write = write
        self.nodes: dict[int, str] = {}

    def take(self, sid: int, reply: bytes, numbers: object, payload: bytes) -> None:
        message = Message(numbers, payload, self._protocol)
        has_header = isinstance(numbers, tuple)
        if message.node_id is not None and (has_header or message.reason is None):
            self.nodes[message.node_id] = "fastcoord" if has_header else "Stalwart"
        self._write(self.received_at or time.time(), message)


def _header(header: object) -> str:
    return ".".join(map(str, header)) if isinstance(header, tuple) else str(header)
