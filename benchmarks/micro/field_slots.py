"""Fields as C integers, which fastcoord has, against fields as Python objects in slots.

The interpreter reads an object in a slot without a call. The classes with slots are prototypes for
StateChange. In one of them, an int that nothing else refers to stays with the memory of its event.
``python -m benchmarks.micro.field_slots`` prints the table of one Python.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import fastcoord
from benchmarks import data, native
from benchmarks.figures import number, table
from benchmarks.micro import Contender, Contest, call, hold
from benchmarks.micro.codec import Batches, encode_batch, several
from benchmarks.micro.objects import BY_KEYWORD, BY_POSITION, READ, ROUND, numbers, statement
from benchmarks.user_loop import ACCOUNTS, FIRST_CHANGE_ID

OPTIONS = "node_id=2, protocol='fastcoord-1'"
PROTOCOL = "protocol='fastcoord-1'"
EVENTS = 12_800
"""The events of one job."""
RUNS_TO_SPECIALISE = 1_100
"""CPython 3.10 caches attributes in a function that was called 1,024 times."""
KEPT = 50_000

ONE = "event.account_id"
USER = "last[event.account_id] = event.change_id; total += event.types"


@dataclass
class Form:
    """One form of the fields, with its codec."""

    name: str
    kind: Any
    encode: Callable[..., bytes]
    decode: Callable[..., Sequence[Any]]


class Row(NamedTuple):
    """One job: the median and the ratio to the first of each form."""

    title: str
    figures: list[tuple[float, ...]]


def forms() -> list[Form]:
    """Return the forms, those of fastcoord first; without the prototypes if they do not compile."""
    codec = (fastcoord.encode_batch, fastcoord.decode_batch)
    found = [Form("fastcoord", fastcoord.StateChange, *codec)]
    try:
        slots = native.field_slots()
    except native.Unavailable:
        return found
    names = ("objects in slots", "objects in slots, ints reused")
    kinds = (slots.StateChange, slots.KeepingStateChange)
    decoders = (slots.decode_batch, slots.decode_batch_keeping)
    for name, kind, decode in zip(names, kinds, decoders, strict=True):
        found.append(Form(name, kind, slots.encode_batch, decode))
        check(found[-1])
    return found


def contests() -> list[Contest]:
    """Return all contests of this file, with checked results."""
    able = forms()
    draws, fresh = several(data.state_changes), users_events()
    widths, user = "values of random widths", "values of the user's loop"
    return [
        made(able, "make", "make a StateChange by position", BY_POSITION),
        made(able, "make_keyword", "make a StateChange by keyword", BY_KEYWORD),
        encoded(able, "encode_widths", f"encode 100, {widths}", draws),
        encoded(able, "encode", f"encode 100, {user}", fresh),
        decoded(able, "decode_widths", f"decode 100, {widths}", draws, ""),
        decoded(able, "read_one_widths", "the same, and read one field", draws, ONE),
        decoded(able, "read_widths", "the same, and read every field", draws, READ),
        decoded(able, "receive_widths", "the same, and run the user's loop", draws, USER),
        decoded(able, "decode", f"decode 100, {user}", fresh, ""),
        decoded(able, "read_one", "the same, and read one field", fresh, ONE),
        decoded(able, "read", "the same, and read every field", fresh, READ),
        decoded(able, "receive", "the same, and run the user's loop", fresh, USER),
        sent(able, 100),
        whole(able, 100),
        whole(able, 1_000),
    ]


def named(key: str, title: str, contenders: list[Contender]) -> Contest:
    """Return a contest whose key and title say what is compared."""
    return Contest(f"slots_{key}", f"Fields in slots: {title}", contenders)


def check(form: Form) -> None:
    """Compare bytes, values and errors of a prototype with those of fastcoord."""
    for make in (data.state_changes, data.wide_state_changes):
        for events in several(make):
            payload = encode_batch(events)
            same = [form.kind(each.account_id, each.change_id, types=each.types) for each in events]
            assert form.encode(same, node_id=2, protocol="fastcoord-1") == payload
            found = form.decode(payload, protocol="fastcoord-1")
            for ours, theirs in zip(events, found, strict=True):
                assert values(ours) == values(theirs)
    for wrong in [(), (1,), (1, 2), (1, 2, 3, 4), (True, 2, 3), (1 << 32, 2, 3), (1, -1, 3), "abc"]:
        assert refusal(form.kind, *wrong) == refusal(fastcoord.StateChange, *wrong)
    for field in ("account_id", "change_id", "types", "another"):
        event = form.kind(1, 2, 3)
        assert refusal(setattr, event, field, 4)[0] is AttributeError
        assert refusal(form.kind, 1, 2, 3, **{field: 4})[0] is TypeError


def values(event: Any) -> tuple[int, int, int]:
    """Return the fields of an event."""
    return event.account_id, event.change_id, event.types


def refusal(function: Callable[..., object], *given: Any, **named: Any) -> tuple[type, str]:
    """Return the error that a call raises."""
    try:
        function(*given, **named)
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), str(error)
    raise AssertionError(f"{given!r} and {named!r} were accepted")


def function(text: str, **names: Any) -> Any:
    """Compile the function ``f``, whose code no other contender runs and specialises."""
    exec(text, names)
    return names["f"]


def made(able: list[Form], key: str, title: str, body: str) -> Contest:
    """Make events of existing integers and drop them."""
    names = "account_id, change_id, types"
    return named(
        key,
        title,
        [
            Contender(form.name, statement(body, names, numbers(), make=form.kind), ROUND)
            for form in able
        ],
    )


def encoded(able: list[Form], key: str, title: str, batches: Batches) -> Contest:
    """Encode events that exist."""
    contenders = []
    for form in able:
        ours = [[form.kind(*values(event)) for event in events] for events in batches]
        text = f"def f():\n for events in batches: encode(events, {OPTIONS})"
        job = function(text, batches=ours, encode=form.encode)
        contenders.append(Contender(form.name, call(job), EVENTS))
    return named(key, title, contenders)


def decoded(able: list[Form], key: str, title: str, batches: Batches, body: str) -> Contest:
    """Decode events, and read what ``body`` reads."""
    payloads = [encode_batch(events) for events in batches]
    contenders = []
    for form in able:
        text = "def f():\n for payload in payloads: read(payload, last)"
        job = function(text, payloads=payloads, read=reader(form, body), last={})
        contenders.append(Contender(form.name, call(job), EVENTS))
    return named(key, title, contenders)


def reader(form: Form, body: str) -> Any:
    """Return a function that decodes a payload and reads its events."""
    loop = f"for event in decode(payload, {PROTOCOL}): {body}"
    if not body:
        loop = f"decode(payload, {PROTOCOL})"
    text = f"def f(payload, last):\n total = 0\n {loop}\n return total"
    read = function(text, decode=form.decode)
    empty = form.encode([form.kind(0, 0, 0)], node_id=2, protocol="fastcoord-1")
    for _ in range(RUNS_TO_SPECIALISE):
        read(empty, {})
    return read


def users_events() -> Batches:
    """Return batches of what a user's program makes of fresh numbers."""
    return [
        [
            fastcoord.StateChange(n * 7919 % ACCOUNTS, FIRST_CHANGE_ID + n, n % 64)
            for n in range(first, first + 100)
        ]
        for first in range(0, EVENTS, 100)
    ]


def sender(form: Form, size: int) -> Any:
    """Return a function that makes a batch of events from fresh numbers and encodes it."""
    make = (
        f"[make(n * 7919 % {ACCOUNTS}, {FIRST_CHANGE_ID} + n, n % 64)"
        f" for n in range(first, first + {size})]"
    )
    text = f"def f(first):\n return encode({make}, {OPTIONS})"
    return function(text, make=form.kind, encode=form.encode)


def sent(able: list[Form], size: int) -> Contest:
    """Make and encode."""
    contenders = []
    for form in able:
        text = f"def f():\n for first in range(0, {EVENTS}, {size}): send(first)"
        job = function(text, send=sender(form, size))
        contenders.append(Contender(form.name, call(job), EVENTS))
    return named("send", f"make {size} from fresh numbers, and encode", contenders)


def whole(able: list[Form], size: int) -> Contest:
    """Make events from fresh numbers, encode, decode, and run the user's loop."""
    count = len(range(0, EVENTS, size)) * size
    right = {n * 7919 % ACCOUNTS: FIRST_CHANGE_ID + n for n in range(count)}
    text = (
        f"def f():\n total = 0\n for first in range(0, {EVENTS}, {size}):"
        "\n  total += read(send(first), last)\n return total"
    )
    contenders = []
    for form in able:
        last: dict[int, int] = {}
        job = function(text, send=sender(form, size), read=reader(form, USER), last=last)
        assert job() == sum(n % 64 for n in range(count))
        assert last == right
        contenders.append(Contender(form.name, call(job), count))
    title = f"make, encode, decode and run the user's loop, batches of {size:,}"
    return named(f"whole_{size}", title, contenders)


def bytes_kept(form: Form) -> float:
    """Measure the memory of a decoded event that a program keeps, in bytes."""
    events = data.state_changes(KEPT)
    payloads = [encode_batch(events[start : start + 100]) for start in range(0, KEPT, 100)]
    # Take the memory of the pools first.
    first = [form.kind(1, 1, 1) for _ in range(2 * 8192)]
    tracemalloc.start()
    kept = [event for each in payloads for event in form.decode(each, protocol="fastcoord-1")]
    size = tracemalloc.get_traced_memory()[0] - kept.__sizeof__()
    tracemalloc.stop()
    del first
    return size / len(kept)


def measured(rounds: int) -> list[Row]:
    """Return the median and the ratio of each form, for each contest and for memory."""
    rows = []
    for contest in contests():
        figures = hold(contest, rounds=rounds).figures()
        rows.append(Row(contest.title, [(each.median, each.ratio) for each in figures]))
    sizes = [bytes_kept(form) for form in forms()]
    rows.append(Row("bytes of a decoded event", [(size, size / sizes[0]) for size in sizes]))
    return rows


def of_processes(processes: int, rounds: int) -> list[Row]:
    """Measure in several processes, since the places of objects in memory differ between them.

    :return: the medians of all processes.
    """
    command = [sys.executable, "-m", "benchmarks.micro.field_slots", "--rounds", str(rounds)]
    runs = [
        json.loads(subprocess.check_output([*command, "--one"], text=True, cwd=native.ROOT))
        for _ in range(processes)
    ]
    rows = []
    for each in zip(*runs, strict=True):
        forms_of = zip(*(figures for _, figures in each), strict=True)
        middle = [tuple(map(statistics.median, zip(*form, strict=True))) for form in forms_of]
        rows.append(Row(each[0][0], middle))
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Print the figures of one Python."""
    parser = argparse.ArgumentParser(prog="benchmarks.micro.field_slots", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds in each process")
    parser.add_argument("--processes", type=int, default=7)
    parser.add_argument("--one", action="store_true", help="print the figures of this process")
    chosen = parser.parse_args(arguments)
    if chosen.one:
        print(json.dumps(measured(chosen.rounds)))
        return
    head = f"ns per event, CPython {platform.python_version()}"
    rows = [
        (title, number(figures[0][0]), *(f"{number(m)} ({number(r)} x)" for m, r in figures[1:]))
        for title, figures in of_processes(chosen.processes, chosen.rounds)
    ]
    print(table((head, *(form.name for form in forms())), rows))


if __name__ == "__main__":
    main()
