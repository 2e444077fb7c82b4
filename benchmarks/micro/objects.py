"""Events as Python objects: making them, reading their fields, ``match``, loops over batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from timeit import Timer
from typing import Any

import msgspec

import fastcoord
from benchmarks import data, msgspec_events
from benchmarks.micro import Contender, Contest, call, clock
from benchmarks.micro.codec import BATCHES, decode_batch, encode_batch, several

ROUND = 1_000
BY_POSITION = "make(account_id, change_id, types)"
BY_KEYWORD = "make(account_id=account_id, change_id=change_id, types=types)"
READ = "event.account_id; event.change_id; event.types"
MATCH_KEYWORD = (
    "match event:\n case kind(account_id=account_id, change_id=change_id, types=types): pass"
)
MATCH_POSITION = "match event:\n case kind(account_id, change_id, types): pass"


class Slots:
    """What a program would write by hand."""

    __slots__ = ("account_id", "change_id", "types")
    __match_args__ = __slots__

    def __init__(self, account_id: int, change_id: int, types: int) -> None:
        self.account_id = account_id
        self.change_id = change_id
        self.types = types


class AppSlots:
    """The same with the fields of an AppEvent."""

    __slots__ = ("kind", "payload")

    def __init__(self, kind: int, payload: bytes) -> None:
        self.kind = kind
        self.payload = payload


KINDS: list[tuple[str, Any, str]] = [
    ("fastcoord", fastcoord.StateChange, ""),
    ("msgspec", msgspec_events.StateChange, msgspec.__version__),
    ("class with slots", Slots, ""),
]


def contests() -> list[Contest]:
    """Return every contest of this file; each answer has been checked."""
    note = "The time includes the loop, which is the same for all."
    return [
        made("make", "Make a StateChange by position", BY_POSITION),
        made("make_keyword", "Make a StateChange by keyword", BY_KEYWORD),
        made_app_event(),
        taken_apart("read", "Read one of three fields of a StateChange", READ, 3),
        taken_apart("match", "Match a StateChange by keyword", MATCH_KEYWORD, 1),
        taken_apart("match_position", "Match a StateChange by position", MATCH_POSITION, 1),
        compared("hash", "Hash a StateChange", "hash(event)"),
        compared("equal", "Compare two equal StateChange", "event == other"),
        iterated(),
        Contest(
            "decode_read",
            "Decode batches of 100 StateChange and read every field",
            decoded_and_read(several(data.state_changes)),
            note,
        ),
    ]


def numbers() -> list[tuple[int, int, int]]:
    """Return the fields of many different events."""
    draw = random.Random(data.SEED)
    events = [data.state_change(draw) for _ in range(ROUND)]
    return [(event.account_id, event.change_id, event.types) for event in events]


def statement(
    body: str, target: str, source: Iterable[Any], **names: Any
) -> Callable[[int], float]:
    """Time a loop over ``source`` with a body; the names are local variables, as in a function."""
    indented = body.replace("\n", "\n  ")
    arguments = ", ".join(f"{name}={name}" for name in names)
    text = f"def job(source=source, {arguments}):\n for {target} in source:\n  {indented}"
    namespace: dict[str, Any] = {**names, "source": list(source)}
    exec(text, namespace)
    return Timer(namespace["job"], timer=clock).timeit


def made(key: str, title: str, body: str) -> Contest:
    """Make objects from fresh integers and drop them."""
    values = numbers()
    contenders = []
    for name, kind, version in KINDS:
        event = kind(*values[0])
        assert (event.account_id, event.change_id, event.types) == values[0]
        run = statement(body, "account_id, change_id, types", values, make=kind)
        contenders.append(Contender(name, run, ROUND, version))
    return Contest(key, title, contenders)


def made_app_event() -> Contest:
    """Make events of a program, from a number and bytes that exist, and drop them."""
    values = [(number % 1000, number.to_bytes(4, "big") * 10) for number in range(ROUND)]
    contenders = []
    for name, kind, version in (
        ("fastcoord", fastcoord.AppEvent, ""),
        ("msgspec", msgspec_events.AppEvent, msgspec.__version__),
        ("class with slots", AppSlots, ""),
    ):
        event = kind(*values[1])
        assert (event.kind, event.payload) == values[1]
        run = statement("make(kind, payload)", "kind, payload", values, make=kind)
        contenders.append(Contender(name, run, ROUND, version))
    return Contest("make_app_event", "Make an AppEvent by position", contenders)


def taken_apart(key: str, title: str, body: str, fields: int) -> Contest:
    """Read the fields of objects that exist."""
    contenders = [
        Contender(
            name,
            statement(body, "event", [kind(*each) for each in numbers()], kind=kind),
            ROUND * fields,
            version,
        )
        for name, kind, version in KINDS
    ]
    return Contest(key, title, contenders)


def compared(key: str, title: str, body: str) -> Contest:
    """Hash or compare objects; a class with slots has no equality of its own."""
    contenders = [
        Contender(
            name,
            statement(body, "event, other", [(kind(*each), kind(*each)) for each in numbers()]),
            ROUND,
            version,
        )
        for name, kind, version in KINDS[:2]
    ]
    return Contest(key, title, contenders)


def iterated() -> Contest:
    """Loop over a batch without looking at its events."""
    events = data.state_changes(ROUND)
    batch = decode_batch(encode_batch(events))
    plain = [Slots(*each) for each in numbers()]
    assert list(batch) == events

    def run(source: Any) -> Callable[[], None]:
        def job() -> None:
            for _ in source:
                pass

        return job

    return Contest(
        "iterate",
        "Iterate over a batch of 1000 events",
        [
            Contender("fastcoord", call(run(batch)), ROUND),
            Contender("list of objects with slots", call(run(plain)), ROUND),
        ],
    )


def decoded_and_read(batches: list[list[Any]]) -> list[Contender]:
    """Decode batches and read every field of every event."""
    structs = [msgspec_events.as_state_changes(events) for events in batches]
    payloads = [msgspec_events.encoder.encode(batch) for batch in structs]
    decode = msgspec_events.state_changes_decoder.decode
    count = BATCHES * data.BATCH
    body = f"for event in decode(payload):\n {READ}"
    ours = statement(body, "payload", map(encode_batch, batches), decode=decode_batch)
    theirs = statement(body, "payload", payloads, decode=decode)
    return [
        Contender("fastcoord", ours, count),
        Contender("msgspec", theirs, count, msgspec.__version__),
    ]
