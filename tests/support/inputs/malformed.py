"""Malformed payloads, made by hand, with the offset of the malformed byte in each."""

from __future__ import annotations

from typing import NamedTuple


class Malformed(NamedTuple):
    """A malformed payload and the expected result of decoding it."""

    payload: bytes
    protocol: str
    offset: int
    node_id: int | None
    decoded: int
    """The number of events before the offset."""


def _malformed(
    hexadecimal: str, protocol: str, *, offset: int, node_id: int | None = 1, decoded: int = 0
) -> Malformed:
    return Malformed(bytes.fromhex(hexadecimal), protocol, offset, node_id, decoded)


MALFORMED = {
    "an empty payload": _malformed("", "stalwart-0.15", offset=0, node_id=None),
    "a node id that is cut off": _malformed("8080", "stalwart-0.15", offset=0, node_id=None),
    "a node id of four bytes": _malformed("80808001", "stalwart-0.15", offset=0, node_id=None),
    "a node id of 65536": _malformed("808004", "stalwart-0.15", offset=0, node_id=None),
    "an unknown tag": _malformed("0105 09", "stalwart-0.15", offset=2, decoded=1),
    "tag 13 before 1.0": _malformed("01 0c 0d", "stalwart-0.16", offset=2, decoded=1),
    "a tag without its field": _malformed("01 07", "stalwart-0.15", offset=2),
    "a u32 that is cut off": _malformed("01 05 07 ff", "stalwart-0.15", offset=3, decoded=1),
    "a u32 of 2**32": _malformed("01 07 8080808010", "stalwart-0.15", offset=2),
    "a u32 of six bytes": _malformed("01 07 808080808000", "stalwart-0.15", offset=2),
    "a u64 of 2**64": _malformed("01 00 80808080808080808002", "stalwart-0.15", offset=2),
    "the last field of three": _malformed("01 00 01 01 8080", "stalwart-0.15", offset=4),
    "a string longer than the rest": _malformed(
        "01 01 01 01 00 03 6161", "stalwart-0.15", offset=5
    ),
    "a string that is not UTF-8": _malformed(
        "01 01 01 01 00 02 61ff 00", "stalwart-0.15", offset=6
    ),
    "a second string that is not UTF-8": _malformed(
        "01 01 01 01 00 01 61 01 ff", "stalwart-0.15", offset=8
    ),
    "an encoded surrogate": _malformed("01 01 01 01 00 03 eda080 00", "stalwart-0.15", offset=6),
    "more accounts than bytes": _malformed("01 03 03 0101", "stalwart-0.15", offset=2),
    "2**64 - 1 accounts": _malformed("01 04 ffffffffffffffffff01", "stalwart-0.15", offset=2),
    "an account that is cut off": _malformed("01 03 02 01 80", "stalwart-0.15", offset=4),
    "more items than pairs of bytes": _malformed("01 07 02 0001 00", "stalwart-0.16", offset=2),
    "an unknown marker": _malformed("01 07 02 0001 0c01", "stalwart-0.16", offset=5),
    "an item without its second number": _malformed("01 07 01 0a01", "stalwart-0.16", offset=5),
    "an object of 65536": _malformed("01 06 808004", "stalwart-1.0", offset=2),
    "a payload longer than the rest": _malformed("01 15 01 02 00", "fastcoord-1", offset=3),
    "the tag 255 of fastcoord-1": _malformed("01 ff", "fastcoord-1", offset=1),
}
