"""Every length of every integer, with and without further bytes after it.

The compiled codec reads words, and several integers at once, where enough bytes remain, and single
bytes elsewhere. The choice depends on the lengths of the integers and on the bytes after them, so
all combinations are tried.
"""

from __future__ import annotations

import itertools

import pytest

import fastcoord
from support.oracles import reference
from support.oracles.comparison import assert_same_outcome
from support.receiving.arrival import assert_arrives_as_the_reference_reads_it

LAST_BYTES = {"padded": 0x00, "smallest": 0x01, "largest": 0x7F}
BEHIND = (0, 1, 3, 4, 7, 8, 9, 12, 15, 16, 17, 23, 24, 25, 40)
"""The number of bytes after the last integer."""
SIGNAL = {"stalwart-0.15": b"\x05", "fastcoord-1": b"\x0c"}
"""The tag of an event without fields, so that any number of these bytes is well-formed."""


def _integer(size: int, last: int) -> bytes:
    return (b"\x80" if last == 0 else b"\xff") * (size - 1) + bytes([last])


def _check(payload: bytes, protocol: str) -> None:
    assert_same_outcome(payload, protocol)
    assert_arrives_as_the_reference_reads_it(payload, protocol)


@pytest.mark.parametrize("last", LAST_BYTES.values(), ids=LAST_BYTES)
@pytest.mark.parametrize("tag", [0, 2], ids=["StateChange", "EmailPush"])
def test_three_integers_of_every_length(tag: int, last: int) -> None:
    long, short = (1, 2, 3, 4, 5, 7, 8, 9, 10, 11), (1, 3, 4, 5, 6)
    lengths = (long, long, short) if tag == 0 else (short, short, long)
    for sizes in itertools.product(*lengths):
        event = bytes([tag]) + b"".join(_integer(size, last) for size in sizes)
        for behind in BEHIND:
            assert_same_outcome(b"\x01" + event + SIGNAL["stalwart-0.15"] * behind, "stalwart-0.15")


@pytest.mark.parametrize("last", LAST_BYTES.values(), ids=LAST_BYTES)
@pytest.mark.parametrize("tag", [0, 2], ids=["StateChange", "EmailPush"])
def test_three_edge_integers_arrive(tag: int, last: int) -> None:
    long, short = (1, 8, 9, 10), (1, 4, 5)
    lengths = (long, long, short) if tag == 0 else (short, short, long)
    for sizes in itertools.product(*lengths):
        event = bytes([tag]) + b"".join(_integer(size, last) for size in sizes)
        for behind in BEHIND:
            _check(b"\x01" + event + SIGNAL["stalwart-0.15"] * behind, "stalwart-0.15")


@pytest.mark.parametrize("last", LAST_BYTES.values(), ids=LAST_BYTES)
@pytest.mark.parametrize("tag", [3, 4, 6, 19, 21], ids=lambda tag: f"tag-{tag}")
def test_two_integers_of_every_length(tag: int, last: int) -> None:
    for sizes in itertools.product(range(1, 12), range(1, 12)):
        event = bytes([tag]) + b"".join(_integer(size, last) for size in sizes)
        for behind in (0, 1, 6, 7, 8, 16):
            _check(b"\x01" + event + SIGNAL["fastcoord-1"] * behind, "fastcoord-1")


@pytest.mark.parametrize("last", LAST_BYTES.values(), ids=LAST_BYTES)
def test_node_id_of_every_length(last: int) -> None:
    for size, behind in itertools.product(range(1, 6), BEHIND):
        payload = _integer(size, last) + SIGNAL["stalwart-0.15"] * behind
        _check(payload, "stalwart-0.15")


@pytest.mark.parametrize("width", ["u32", "u64"])
def test_powers_of_two_round_trip(width: str) -> None:
    bits = int(width[1:])
    numbers = {
        number
        for exponent in range(bits + 1)
        for number in ((1 << exponent) - 1, 1 << exponent, (1 << exponent) + 1)
        if number < 1 << bits
    }
    for number in sorted(numbers):
        event = (
            fastcoord.ReloadPushServers(number)
            if width == "u32"
            else fastcoord.StateChange(number % (1 << 32), number, number)
        )
        payload = fastcoord.encode_batch([event] * 3, node_id=1, protocol="stalwart-0.15")
        fields = {name: getattr(event, name) for name in type(event).__match_args__}
        plain = [type(event).__name__, fields]
        assert payload == reference.encode_batch(1, [plain] * 3, "stalwart-0.15")
        batch = fastcoord.decode_batch(payload, protocol="stalwart-0.15")
        assert list(batch) == [event] * 3
