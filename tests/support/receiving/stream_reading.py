"""A feed of a stream behind a parser, and what reaches its ring."""

from __future__ import annotations

from typing import Any

from fastcoord import DecodeError, Event, Missed, StateChange, decode_batch, encode_batch
from fastcoord.nats.frames import compose
from fastcoord.nats.parser import Parser
from fastcoord.receiving.ring import Ring
from fastcoord.streaming.feed import Feed
from fastcoord.streaming.stream_receiver import StreamReceiver
from fastcoord.wire.sealed_batch import SealedBatch

SUBJECT = b"stwt.agora"
PROTOCOL = "stalwart-0.16"
PLACE = 1
"""The index of the protocol in ``PROTOCOLS``."""
OWN = 1
PEER = 2
RUN = 77


class Owner:
    """Record the callbacks of a feed."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def missed(self, feed: Feed, missed: Missed) -> None:
        feed.notify(missed)

    def __getattr__(self, name: str) -> Any:
        return lambda *values: self.calls.append(
            (name, *(each for each in values if not isinstance(each, Feed)))
        )


class Reading:
    """One feed behind a parser, and what reaches its ring."""

    def __init__(self, *, deliver_own: bool = False, live: Feed | None = None) -> None:
        self.receiver = StreamReceiver(
            node_id=OWN,
            incarnation=5,
            protocol=PROTOCOL,
            deliver_own=deliver_own,
            rules=None,
            on_request=print,
        )
        self.owner = Owner()
        self.ring = Ring(10_000, 1 << 24)
        self.feed = Feed(self.receiver, self.owner, SUBJECT, ring=self.ring, live=live)
        self.receiver.live = self.feed
        self.parser = Parser(self.receiver, lambda line: None, read_size=1 << 16)
        self.sequence = 0
        self.number = 0
        self.stored_at = 0
        self.begin()

    def begin(self) -> None:
        self.feed.begin(9, 0.0)
        self.number = 0

    def store(
        self,
        offset: int,
        count: int = 1,
        *,
        node_id: int = PEER,
        run: int = RUN,
        discarded: int = 0,
        protocol: int = PLACE,
    ) -> None:
        """Receive the next message of the stream, with a batch."""
        events = [StateChange(node_id, offset + each, types=1) for each in range(count)]
        payload = encode_batch(events, node_id=node_id, protocol=PROTOCOL)
        batch = SealedBatch(payload, offset, count)
        frame = compose(SUBJECT, protocol, run, discarded, [batch])
        line, rest = frame.split(b"\r\n", 1)
        sizes = line.split()[-2:]
        self.message(b" ".join(sizes), rest, verb=b"HMSG")

    def message(self, sizes: bytes, rest: bytes, *, verb: bytes, subject: bytes = SUBJECT) -> None:
        self.sequence += 1
        self.number += 1
        place = (self.sequence, self.number, self.stored_at)
        reply = b"$JS.ACK.AGORA.c.1.%d.%d.%d.0" % place
        self.parser.feed_bytes(b" ".join([verb, subject, b"9", reply, sizes]) + b"\r\n" + rest)

    def taken(self) -> list[int | Missed]:
        """Return the numbers of the events in the ring, and the notices between them."""
        found: list[int | Missed] = []
        while (item := self.ring.take_next()) is not None:
            if isinstance(item, Missed):
                found.append(item)
                continue
            payload, start, count, node_id, _ = item
            prefix = encode_batch([], node_id=node_id, protocol=PROTOCOL)
            try:
                events: list[Event] = list(
                    decode_batch(prefix + payload[start:], protocol=PROTOCOL)
                )
            except DecodeError as error:
                events = list(error.decoded)
            for event in events[:count]:
                assert isinstance(event, StateChange)
                found.append(event.change_id)
        return found
