"""Other forms of a batch than objects: tuples, columns for NumPy, and calls of a function.

Every contender reads every field of each event as a program would: the last change of each account,
and a sum. The forms are prototypes for one kind of event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import fastcoord
from benchmarks import native
from benchmarks.micro import Contender, Contest, call
from benchmarks.micro.batching import PROTOCOL, Owner, new_batcher, sealed, state
from benchmarks.user_loop import ACCOUNTS, FIRST_CHANGE_ID
from fastcoord import StateChange
from fastcoord.publishing.publisher import Publisher

COUNT = 1000
"""The events of a batch: as many as fit one of the usual size."""
BATCHES = 16

Last = dict[int, Any]
Reader = Callable[[bytes, Last], int]


def contests() -> list[Contest]:
    """Return all contests of this file, with checked results."""
    able = readers()
    payloads = [
        fastcoord.encode_batch(made(n), node_id=2, protocol=PROTOCOL) for n in range(BATCHES)
    ]
    right: Last = {}
    total = sum(by_object(payload, right) for payload in payloads)
    for read in able.values():
        last: Last = {}
        assert sum(read(payload, last) for payload in payloads) == total
        if -1 in last:
            last = {account: int(change) for account, change in enumerate(last[-1]) if change}
        assert last == right
    return [reading(able, payloads), all_together(able)]


def made(batch: int) -> list[StateChange]:
    """Make the events of one batch from fresh numbers."""
    return [
        StateChange(number * 7919 % ACCOUNTS, FIRST_CHANGE_ID + number, number % 64)
        for number in range(batch * COUNT, (batch + 1) * COUNT)
    ]


def readers() -> dict[str, Reader]:
    """Return every way to read a batch, by name, without those whose libraries are missing."""
    found: dict[str, Reader] = {"fastcoord, batches of objects": by_object}
    try:
        forms = native.beyond()
    except native.Unavailable:
        return found
    found["tuples"] = by_row(forms.rows)
    found["a function, called with each event"] = by_call(forms.each)
    try:
        import numpy
    except ImportError:
        return found
    found["columns, into the same dictionary"] = by_column(forms.columns, numpy)
    found["columns, into an array of NumPy"] = by_array(forms.columns, numpy)
    found["fastcoord, `Batch.columns`, into an array of NumPy"] = by_array(columns, numpy)
    return found


def by_object(payload: bytes, last: Last) -> int:
    """Read the objects of a batch."""
    total = 0
    for event in fastcoord.decode_batch(payload, protocol=PROTOCOL):
        last[event.account_id] = event.change_id  # type: ignore[attr-defined]
        total += event.types  # type: ignore[attr-defined]
    return total


def by_row(rows: Callable[[bytes, int], list[tuple[int, int, int]]]) -> Reader:
    """Read tuples."""

    def read(payload: bytes, last: Last) -> int:
        total = 0
        for account, change, types in rows(payload, COUNT):
            last[account] = change
            total += types
        return total

    return read


def by_call(each: Callable[[bytes, int, Callable[[Any], None]], None]) -> Reader:
    """Read the event that a function is called with."""

    def read(payload: bytes, last: Last) -> int:
        total = 0

        def take(event: Any) -> None:
            nonlocal total
            last[event.account_id] = event.change_id
            total += event.types

        each(payload, COUNT, take)
        return total

    return read


def by_column(columns: Callable[[bytes, int], Iterable[bytes]], numpy: Any) -> Reader:
    """Read columns: sum one of them, and put two into the dictionary."""

    def read(payload: bytes, last: Last) -> int:
        accounts, changes, types = (
            numpy.frombuffer(column, numpy.uint64) for column in columns(payload, COUNT)
        )
        last.update(zip(accounts.tolist(), changes.tolist(), strict=True))
        return int(types.sum())

    return read


def columns(payload: bytes, count: int) -> Iterable[Any]:
    """Return the columns of the objects of a batch."""
    return fastcoord.decode_batch(payload, protocol=PROTOCOL).columns(StateChange).values()


def by_array(columns: Callable[[bytes, int], Iterable[Any]], numpy: Any) -> Reader:
    """Read columns without a loop of Python: the accounts are indices of an array.

    The dictionary keeps the array, under the key -1.
    """

    def read(payload: bytes, last: Last) -> int:
        accounts, changes, types = (
            numpy.frombuffer(column, numpy.uint64) for column in columns(payload, COUNT)
        )
        if -1 not in last:
            last[-1] = numpy.zeros(ACCOUNTS, numpy.uint64)
        last[-1][accounts] = changes
        return int(types.sum())

    return read


def reading(able: dict[str, Reader], payloads: list[bytes]) -> Contest:
    """Decode and read."""

    def job(read: Reader) -> Callable[[], None]:
        last: Last = {}

        def run() -> None:
            for payload in payloads:
                read(payload, last)

        return run

    return Contest(
        "beyond_read",
        f"Decode batches of {COUNT} StateChange and read every field in other forms",
        [Contender(name, call(job(read)), COUNT * BATCHES) for name, read in able.items()],
    )


def all_together(able: dict[str, Reader]) -> Contest:
    """Make, publish, decode and read in one process."""

    def job(read: Reader) -> Callable[[], None]:
        batcher = new_batcher()
        publisher = Publisher(state(), batcher, Owner())
        last: Last = {}

        def run() -> None:
            for batch in range(BATCHES):
                publisher.publish_many(made(batch))
                read(sealed(batcher), last)

        return run

    return Contest(
        "beyond_all",
        f"Make {COUNT} StateChange, publish, decode and read them in other forms",
        [Contender(name, call(job(read)), COUNT * BATCHES) for name, read in able.items()],
    )
