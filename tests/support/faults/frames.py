"""Splits a NATS connection's bytes into whole protocol frames."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

MESSAGES = frozenset({"PUB", "HPUB", "MSG", "HMSG"})
OTHERS = frozenset({"INFO", "CONNECT", "SUB", "UNSUB", "PING", "PONG", "+OK", "-ERR"})
STARTS = frozenset(verb[0] for verb in MESSAGES | OTHERS)


@dataclass(frozen=True)
class Frame:
    """One protocol frame; frames without a message have only ``verb`` and ``raw``.

    ``header`` is the whole header block with its closing empty line. ``sid`` is empty in frames
    from a client.
    """

    verb: str
    raw: bytes
    subject: str = ""
    sid: str = ""
    reply: str = ""
    header: bytes = b""
    payload: bytes = b""

    @property
    def is_message(self) -> bool:
        return self.verb in MESSAGES

    def alter(self, *, payload: bytes | None = None, header: bytes | None = None) -> "Frame":
        """Return the same message with another payload or header block."""
        assert self.is_message
        payload = self.payload if payload is None else payload
        header = self.header if header is None else header
        verb = self.verb.removeprefix("H")
        sizes = [str(len(payload))]
        if header:
            verb = "H" + verb
            sizes = [str(len(header)), str(len(header) + len(payload))]
        words = [verb, self.subject, self.sid, self.reply, *sizes]
        line = " ".join(word for word in words if word).encode()
        raw = line + b"\r\n" + header + payload + b"\r\n"
        return replace(self, verb=verb, raw=raw, header=header, payload=payload)


class FrameParser:
    """Parses chunks of bytes into frames; a frame may span chunks.

    After a byte that cannot begin a frame, as after the start of TLS, all data is passed on
    unparsed.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._opaque = False

    def feed(self, data: bytes) -> Iterator[Frame | bytes]:
        self._pending += data
        while self._pending:
            if self._opaque or chr(self._pending[0]).upper() not in STARTS:
                self._opaque = True
                yield self.rest()
                return
            frame = self._take()
            if frame is None:
                return
            yield frame

    def rest(self) -> bytes:
        """Remove and return the bytes of the unfinished frame."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest

    def _take(self) -> Frame | None:
        end = self._pending.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._pending[:end]).decode()
        words = line.split()
        verb = words[0].upper()
        if verb not in MESSAGES:
            return Frame(verb, self._cut(end + 2))
        size = int(words[-1])
        total = end + 2 + size + 2
        if len(self._pending) < total:
            return None
        raw = self._cut(total)
        body = raw[end + 2 : end + 2 + size]
        names = words[1:-1]
        header_size = 0
        if verb.startswith("H"):
            header_size = int(names.pop())
        subject = names.pop(0)
        sid = names.pop(0) if verb.endswith("MSG") else ""
        reply = names.pop(0) if names else ""
        return Frame(verb, raw, subject, sid, reply, body[:header_size], body[header_size:])

    def _cut(self, size: int) -> bytes:
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken
