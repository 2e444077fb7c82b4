"""The event classes of a program, compared with msgspec alone and with ``AppEvent`` by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

import fastcoord
from benchmarks.micro import Contender, Contest, call, drive
from benchmarks.micro.batching import Owner, new_batcher, sealed, state
from fastcoord import AppEvent
from fastcoord.publishing.publisher import Publisher
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.ring import Ring

PROTOCOL = "fastcoord-1"
KIND = 7
COUNT = 100


@fastcoord.event(kind=KIND)
class OrderShipped(msgspec.Struct, frozen=True):
    """An event as a program would define it."""

    order: int
    carrier: str
    weight: float


@fastcoord.event(kind=KIND + 1)
class OrderLost(msgspec.Struct, frozen=True):
    """Another event; no contender sends it."""

    order: int


def contests() -> list[Contest]:
    """Return all contests of this file, with checked results."""
    events = [OrderShipped(number * 1001, "carrier", number / 8) for number in range(COUNT)]
    return [publishing(events), receiving(events)]


def publishing(events: list[OrderShipped]) -> Contest:
    """Publish each event with one call, then seal."""
    encode = msgspec.msgpack.Encoder().encode
    publishers = [(batcher := new_batcher(), Publisher(state(), batcher, Owner())) for _ in "12"]

    def typed() -> bytes:
        batcher, publisher = publishers[0]
        publish = publisher.publish
        for event in events:
            publish(event)
        return sealed(batcher)

    def by_hand() -> bytes:
        batcher, publisher = publishers[1]
        publish = publisher.publish
        for event in events:
            publish(AppEvent(KIND, encode(event)))
        return sealed(batcher)

    def alone() -> list[bytes]:
        return [encode(event) for event in events]

    payloads = [event.payload for event in decoded(typed())]
    assert payloads == [event.payload for event in decoded(by_hand())] == alone()
    return Contest(
        "typed_publish",
        "Publish 100 events of a program's class, and seal the batch",
        [
            Contender("fastcoord, the class", call(typed), COUNT),
            Contender("fastcoord, AppEvent by hand", call(by_hand), COUNT),
            Contender("msgspec alone, no batch", call(alone), COUNT),
        ],
    )


def decoded(payload: bytes) -> Any:
    return fastcoord.decode_batch(payload, protocol=PROTOCOL)


def cursor(kinds: list[Any] | None) -> Cursor:
    """Return a cursor with a ring, which fails instead of waiting."""

    def never() -> Any:
        raise AssertionError("the ring is empty too early")

    return Cursor(
        Ring(1024, 64 * 1024 * 1024),
        protocol=PROTOCOL,
        kinds=kinds,
        as_notices=lambda dropped: [],
        get_loop=never,
    )


def receiving(events: list[OrderShipped]) -> Contest:
    """Take the events of one message."""
    payload = fastcoord.encode_batch(events, node_id=2, protocol=PROTOCOL)
    alone_payloads = [msgspec.msgpack.encode(event) for event in events]
    decode = msgspec.msgpack.Decoder(OrderShipped).decode

    async def typed(times: int) -> list[Any]:
        reader = cursor([OrderShipped])
        found: list[Any] = []
        for _ in range(times):
            found.clear()
            reader.ring.put_message(payload, 1, COUNT, 2, 1.0)
            reader.resume()
            async for event in reader:
                found.append(event)
                if len(found) == COUNT:
                    break
        return found

    async def by_hand(times: int) -> list[Any]:
        reader = cursor([AppEvent])
        found: list[Any] = []
        for _ in range(times):
            found.clear()
            reader.ring.put_message(payload, 1, COUNT, 2, 1.0)
            reader.resume()
            async for event in reader:
                found.append(decode(event.payload))  # type: ignore[union-attr]
                if len(found) == COUNT:
                    break
        return found

    async def alone(times: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(times):
            found.clear()
            for content in alone_payloads:
                found.append(decode(content))
        return found

    async def filtered(times: int) -> int:
        reader = cursor([OrderLost])
        for _ in range(times):
            reader.ring.put_message(payload, 1, COUNT, 2, 1.0)
            reader.resume()
            assert reader.take_event() is None
        return reader.filtered

    for way in (typed, by_hand, alone):
        assert asyncio.run(way(2)) == events
    assert asyncio.run(filtered(2)) == 2 * COUNT
    return Contest(
        "typed_receive",
        "Put a message of 100 events of a program's class, take 100 objects by `async for`",
        [
            Contender("fastcoord, the class", drive(typed), COUNT),
            Contender("fastcoord, AppEvent and msgspec by hand", drive(by_hand), COUNT),
            Contender("msgspec alone, no message", drive(alone), COUNT),
            Contender("fastcoord, all of them filtered", drive(filtered), COUNT),
        ],
    )
