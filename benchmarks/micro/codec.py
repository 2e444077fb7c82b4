"""Encoding and decoding batches, compared with msgspec and a loop over plain C structs."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

import fastcoord
from benchmarks import data, msgspec_events, native
from benchmarks.micro import Contender, Contest, call, clock

C_LOOP = "checked C loop"


BATCHES = 128
"""The number of different batches. With few batches, branch prediction is nearly perfect (a
byte-wise loop is then three times as fast), which does not happen with real events. The contests
``..._same`` show that case."""

Batches = Sequence[Sequence[Any]]


def contests() -> list[Contest]:
    """Return all contests of this file, with checked results."""
    usual = several(data.state_changes)
    wide = several(data.wide_state_changes)
    mixed = several(data.mixed)
    even = several(data.evenly_mixed)
    return [
        one_kind_encode("encode", "Encode batches of 100 StateChange", usual),
        one_kind_decode("decode", "Decode batches of 100 StateChange into objects", usual),
        one_kind_encode("encode_same", "Encode the same batch of 100 again and again", usual[:1]),
        one_kind_decode("decode_same", "Decode the same batch of 100 again and again", usual[:1]),
        one_kind_encode("encode_wide", "Encode StateChange, values of every width", wide),
        one_kind_decode("decode_wide", "Decode StateChange, values of every width", wide),
        kept(usual),
        mixed_encode("encode_mixed", "Encode mixed batches of 100, every kind in each", mixed),
        mixed_decode("decode_mixed", "Decode mixed batches of 100, every kind in each", mixed),
        mixed_read("decode_mixed_read", "Decode mixed batches of 100 and read every field", mixed),
        mixed_encode("encode_even", "Encode batches of 100, all kinds equally often", even),
        mixed_decode("decode_even", "Decode batches of 100, all kinds equally often", even),
    ]


def several(make: Callable[[int, int], list[Any]]) -> list[list[Any]]:
    """Make different batches."""
    return [make(data.BATCH, data.SEED + number) for number in range(BATCHES)]


def encode_batch(events: Sequence[Any]) -> bytes:
    """Encode with the public API."""
    return fastcoord.encode_batch(events, node_id=2, protocol="fastcoord-1")


def decode_batch(payload: bytes) -> fastcoord.Batch:
    """Decode with the public API."""
    return fastcoord.decode_batch(payload, protocol="fastcoord-1")


def fastcoord_encoder(batches: Batches) -> Contender:
    """Encode with fastcoord."""
    encode = fastcoord.encode_batch

    def job() -> None:
        for events in batches:
            encode(events, node_id=2, protocol="fastcoord-1")

    for events in batches:
        assert list(decode_batch(encode_batch(events))) == list(events)
    return Contender("fastcoord", call(job), sum(map(len, batches)))


def fastcoord_decoder(batches: Batches) -> Contender:
    """Decode with fastcoord."""
    decode = fastcoord.decode_batch
    payloads = [encode_batch(events) for events in batches]

    def job() -> None:
        for payload in payloads:
            decode(payload, protocol="fastcoord-1")

    return Contender("fastcoord", call(job), sum(map(len, batches)))


def msgspec_encoder(
    batches: Batches, structs: Batches, decode: Callable[[bytes], Any]
) -> Contender:
    """Encode with msgspec."""
    encode = msgspec_events.encoder.encode

    def job() -> None:
        for batch in structs:
            encode(batch)

    for events, batch in zip(batches, structs, strict=True):
        assert msgspec_events.same(events, decode(encode(batch)))
    return Contender("msgspec", call(job), sum(map(len, batches)), msgspec.__version__)


def msgspec_decoder(structs: Batches, decode: Callable[[bytes], Any]) -> Contender:
    """Decode with msgspec."""
    payloads = [msgspec_events.encoder.encode(batch) for batch in structs]

    def job() -> None:
        for payload in payloads:
            decode(payload)

    return Contender("msgspec", call(job), sum(map(len, structs)), msgspec.__version__)


def plain_structs(events: Sequence[Any]) -> Any:
    """Return the events as an array of C structs."""
    return (native.StateChange * len(events))(
        *((each.change_id, each.types, each.account_id) for each in events)
    )


def c_encoder(batches: Batches) -> Contender | None:
    """Encode plain structs in a C loop; ``None`` if it cannot be built."""
    try:
        library = native.loop()
    except native.Unavailable:
        return None
    structs = plain_structs([event for events in batches for event in events])
    size = len(batches[0])
    capacity = 64 * size + 8
    buffer = ctypes.create_string_buffer(capacity)

    def run(times: int) -> float:
        start = clock()
        library.encode_rounds(structs, size, len(batches), buffer, capacity, times)
        return clock() - start

    written = library.encode_rounds(structs, size, len(batches), buffer, capacity, 1)
    assert buffer.raw[:written] == encode_batch(batches[-1])
    return Contender(C_LOOP, run, len(structs))


def c_decoder(batches: Batches) -> Contender | None:
    """Decode into plain structs in a C loop; ``None`` if it cannot be built."""
    try:
        library = native.loop()
    except native.Unavailable:
        return None
    encoded = [encode_batch(events) for events in batches]
    payloads = (ctypes.c_char_p * len(encoded))(*encoded)
    sizes = (ctypes.c_size_t * len(encoded))(*map(len, encoded))
    size = len(batches[0])
    structs = (native.StateChange * size)()

    def run(times: int) -> float:
        start = clock()
        library.decode_rounds(payloads, sizes, len(encoded), structs, size, times)
        return clock() - start

    count = library.decode_rounds(payloads, sizes, len(encoded), structs, size, 1)
    assert count == len(batches[-1])
    for struct, event in zip(structs, batches[-1], strict=True):
        assert (struct.change_id, struct.types) == (event.change_id, event.types)
        assert struct.account_id == event.account_id
    return Contender(C_LOOP, run, sum(map(len, batches)))


def present(*contenders: Contender | None) -> list[Contender]:
    """Return the contenders that can run."""
    return [each for each in contenders if each is not None]


def one_kind_encode(key: str, title: str, batches: Batches) -> Contest:
    """Encode events of one kind."""
    structs = [msgspec_events.as_state_changes(events) for events in batches]
    decode = msgspec_events.state_changes_decoder.decode
    theirs = msgspec_encoder(batches, structs, decode)
    return Contest(key, title, present(fastcoord_encoder(batches), theirs, c_encoder(batches)))


def one_kind_decode(key: str, title: str, batches: Batches) -> Contest:
    """Decode events of one kind into objects."""
    structs = [msgspec_events.as_state_changes(events) for events in batches]
    theirs = msgspec_decoder(structs, msgspec_events.state_changes_decoder.decode)
    note = "The objects are freed at once, as a consumer does."
    contenders = present(fastcoord_decoder(batches), theirs, c_decoder(batches))
    return Contest(key, title, contenders, note)


def kept(batches: Batches) -> Contest:
    """Decode into objects that all stay alive, so that no memory is reused."""
    structs = [msgspec_events.as_state_changes(events) for events in batches]
    theirs = [msgspec_events.encoder.encode(batch) for batch in structs]
    ours = [encode_batch(events) for events in batches]
    decode = msgspec_events.state_changes_decoder.decode
    count = sum(map(len, batches))
    return Contest(
        "decode_kept",
        f"Decode {BATCHES} batches of 100 StateChange and keep all objects until the end",
        [
            Contender("fastcoord", call(lambda: [decode_batch(each) for each in ours]), count),
            Contender(
                "msgspec",
                call(lambda: [decode(each) for each in theirs]),
                count,
                msgspec.__version__,
            ),
        ],
    )


def mixed_encode(key: str, title: str, batches: Batches) -> Contest:
    """Encode events of every kind."""
    structs = [msgspec_events.as_tagged(events) for events in batches]
    theirs = msgspec_encoder(batches, structs, msgspec_events.mixed_decoder.decode)
    return Contest(key, title, [fastcoord_encoder(batches), theirs])


def mixed_decode(key: str, title: str, batches: Batches) -> Contest:
    """Decode events of every kind into objects."""
    structs = [msgspec_events.as_tagged(events) for events in batches]
    theirs = msgspec_decoder(structs, msgspec_events.mixed_decoder.decode)
    return Contest(key, title, [fastcoord_decoder(batches), theirs])


def mixed_read(key: str, title: str, batches: Batches) -> Contest:
    """Decode events of every kind and read all fields.

    fastcoord creates the members of a list when they are first read: only this contest counts them.
    """
    ours = [encode_batch(events) for events in batches]
    structs = [msgspec_events.as_tagged(events) for events in batches]
    theirs = [msgspec_events.encoder.encode(batch) for batch in structs]
    kinds = {type(event) for events in batches for event in events}
    kinds |= {type(struct) for batch in structs for struct in batch}
    readers = {kind: reader_of(kind.__name__) for kind in kinds}

    def job(decode: Callable[[bytes], Any], payloads: list[bytes]) -> Callable[[], None]:
        def read() -> None:
            for payload in payloads:
                for event in decode(payload):
                    readers[type(event)](event)

        return read

    count = sum(map(len, batches))
    decode = msgspec_events.mixed_decoder.decode
    note = "The time includes the loop that reads the fields, which is the same for both."
    return Contest(
        key,
        title,
        [
            Contender("fastcoord", call(job(decode_batch, ours)), count),
            Contender("msgspec", call(job(decode, theirs)), count, msgspec.__version__),
        ],
        note,
    )


def reader_of(kind: str) -> Callable[[Any], object]:
    """Return a function that reads all fields of an event of a kind."""
    names = [name for name, _ in msgspec_events.FIELDS[kind]]
    return operator.attrgetter(*names) if names else id
