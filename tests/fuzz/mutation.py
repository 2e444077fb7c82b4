"""Random mutations of inputs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

MAXIMUM_SIZE = 1024
"""The maximum size of an input in bytes; the reference is slow."""

INTERESTING_BYTES = bytes([0x00, 0x01, 0x02, 0x03, 0x04, 0x0F, 0x10, 0x7F, 0x80, 0x81, 0xFE, 0xFF])

Mutation = Callable[[random.Random, bytearray], None]


def _place(chance: random.Random, data: bytearray) -> int:
    return chance.randrange(len(data) + 1)


def _stretch(chance: random.Random, data: bytearray) -> tuple[int, int]:
    start = _place(chance, data)
    return start, min(len(data), start + min(chance.randint(1, 8) ** 2, MAXIMUM_SIZE))


def flip_a_bit(chance: random.Random, data: bytearray) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def set_a_byte(chance: random.Random, data: bytearray) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice(INTERESTING_BYTES)


def add_to_a_byte(chance: random.Random, data: bytearray) -> None:
    if data:
        place = chance.randrange(len(data))
        data[place] = (data[place] + chance.randint(-4, 4)) % 256


def insert_bytes(chance: random.Random, data: bytearray) -> None:
    place = _place(chance, data)
    data[place:place] = bytes(
        chance.choice(INTERESTING_BYTES) for _ in range(chance.randint(1, 11))
    )


def remove_a_stretch(chance: random.Random, data: bytearray) -> None:
    start, end = _stretch(chance, data)
    del data[start:end]


def cut_the_end(chance: random.Random, data: bytearray) -> None:
    del data[_place(chance, data) :]


def double_a_stretch(chance: random.Random, data: bytearray) -> None:
    start, end = _stretch(chance, data)
    place = _place(chance, data)
    data[place:place] = data[start:end]


MUTATIONS: Sequence[Mutation] = (
    flip_a_bit,
    set_a_byte,
    add_to_a_byte,
    insert_bytes,
    remove_a_stretch,
    cut_the_end,
    double_a_stretch,
)


def mutate(
    chance: random.Random, data: bytes, *, corpus: Sequence[bytes], tokens: Sequence[bytes]
) -> bytes:
    """Change an input in one to six ways.

    :param chance: the only source of randomness, so that a seed repeats a run.
    :param data: the input to start from; it is not changed.
    :param corpus: inputs to take parts from.
    :param tokens: pieces that have a meaning for the target.
    """
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4, 6))):
        kind = chance.randrange(len(MUTATIONS) + 3)
        if kind < len(MUTATIONS):
            MUTATIONS[kind](chance, changed)
        elif kind == len(MUTATIONS):
            other = chance.choice(corpus)
            changed = changed[: _place(chance, changed)]
            changed += other[chance.randrange(len(other) + 1) :]
        else:
            place = _place(chance, changed)
            token = chance.choice(tokens)
            replaced = chance.choice((0, 0, 1, len(token)))
            changed[place : place + replaced] = token
    return bytes(changed[:MAXIMUM_SIZE])
