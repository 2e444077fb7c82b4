"""The codec as a fuzz target: the compiled codec and the reference decode each input.

The first byte of an input selects the protocol and a consumer's filter, the others are the
payload. The payload is decoded at once, and received as a message: counted, filtered, taken event
by event or batch by batch. Decoded events are encoded again by both codecs.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import fastcoord
from support.inputs.malformed import MALFORMED
from support.inputs.vectors import CASES
from support.oracles import reference
from support.oracles.comparison import assert_as_good_as_new, assert_same_outcome, decode, event_of
from support.receiving.arrival import assert_arrives_as_the_reference_reads_it

PROTOCOLS = tuple(reference.PROTOCOLS)
KINDS = {
    protocol: [getattr(fastcoord, name) for name in sorted(reference.event_types(protocol))]
    for protocol in PROTOCOLS
}
FILTERS = {
    protocol: (None, *(frozenset(kinds[first::7]) for first in range(7)))
    for protocol, kinds in KINDS.items()
}
"""For each protocol no filter, and filters that select each kind once."""
LARGEST_SEED = 256
"""Stalwart's larger batches are split into their events."""


def _edges_of_integers() -> Iterator[bytes]:
    for bits in (7, 14, 16, 21, 28, 32, 35, 49, 56, 63, 64):
        yield reference.encode_integer((1 << bits) - 1, 64)
        yield reference.encode_integer((1 << bits) % (1 << 64), 64)


class CodecTarget:
    """``decode_batch`` and ``encode_batch`` in all four protocols."""

    tokens: Sequence[bytes] = (
        *_edges_of_integers(),
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",
        b"\x80" * 10 + b"\x00",
        b"\x81\x80\x00",
        "é".encode(),
        "🗓".encode(),
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
    )

    def seeds(self) -> list[bytes]:
        found = [_input(case.payload, case.protocol) for case in MALFORMED.values()]
        for vector, protocol in CASES:
            if len(vector.payload) <= LARGEST_SEED:
                found.append(_input(vector.payload, protocol))
            else:
                for event in vector.events[:10]:
                    found.append(_input(reference.encode_batch(1, [event], protocol), protocol))
        return [data for data in found if len(data) <= LARGEST_SEED]

    def generate(self, chance: random.Random) -> bytes:
        protocol = chance.choice(PROTOCOLS)
        layouts = list(reference.PROTOCOLS[protocol].values())
        events = [_event(chance, chance.choice(layouts)) for _ in range(chance.randint(0, 6))]
        return _input(reference.encode_batch(_integer(chance, 16), events, protocol), protocol)

    def run(self, data: bytes) -> Hashable:
        choice = data[0] if data else 0
        protocol = PROTOCOLS[choice % len(PROTOCOLS)]
        outcome = assert_same_outcome(data[1:], protocol)
        assert_arrives_as_the_reference_reads_it(
            data[1:],
            protocol,
            kinds=FILTERS[protocol][choice >> 3 & 7],
            in_batches=bool(choice & 4),
        )
        events = [event_of(event) for event in outcome.events]
        _, decoded, _ = decode(data[1:], protocol)
        assert_as_good_as_new(decoded, events, protocol)
        written = fastcoord.encode_batch(events, node_id=outcome.node_id or 0, protocol=protocol)
        expected = reference.encode_batch(outcome.node_id or 0, outcome.events, protocol)
        assert written == expected, (
            f"{protocol} {outcome.events}:\n  the reference: {expected.hex()}\n"
            f"  fastcoord:     {written.hex()}"
        )
        last = outcome.events[-1][0] if outcome.events else None
        return protocol, outcome.offset is None, last, len(outcome.events).bit_length()


def _input(payload: bytes, protocol: str) -> bytes:
    return bytes([PROTOCOLS.index(protocol)]) + payload


def _event(chance: random.Random, layout: reference.Layout) -> reference.Event:
    fields = {name: _value(chance, kind) for name, kind in layout.fields.items()}
    return [layout.type, {**fields, **layout.constants}]


def _value(chance: random.Random, kind: str) -> Any:
    if kind in ("u16", "u32", "u64"):
        return _integer(chance, int(kind[1:]))
    if kind == "i64 or none":
        return _integer(chance, 64) - (1 << 63)
    if kind == "str":
        return "".join(chance.choice("aZ0 é日🗓\0") for _ in range(chance.randint(0, 20)))
    if kind == "bytes":
        return base64.b64encode(chance.randbytes(chance.randint(0, 40))).decode("ascii")
    if kind == "list of u32":
        return [_integer(chance, 32) for _ in range(chance.randint(0, 12))]
    return [_cache_item(chance) for _ in range(chance.randint(0, 6))]


def _cache_item(chance: random.Random) -> list[Any]:
    name = chance.choice(reference.CACHE_MARKERS)
    return [name, *(_integer(chance, 32) for _ in range(2 if name == "EmailNegative" else 1))]


def _integer(chance: random.Random, bits: int) -> int:
    """Draw an integer; every length of the LEB128 form is equally likely."""
    return chance.getrandbits(chance.randint(1, bits))
