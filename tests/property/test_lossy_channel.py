"""A faulty channel never leaves a consumer with a stale cache.

If messages are only lost or repeated, the reports are also exact. Some damage cannot be detected:
an offset that increases by no more than the events lost right after it looks like a valid one. So
offsets are decreased by any number, and increased beyond the sender's last offset, or by any
number if the next two messages arrive. A message that is late and damaged may look like the newest
one or like a restart, and a damaged message that is repeated may fill the gap that its damage hid;
so damaged messages arrive once and in time.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcoord import Missed
from support.faults.channel import FAR, KEYS, Exchange, Step, random_steps
from support.receiving.receiving_side import ReceivingSide, payload

EVENTS = st.integers(0, 5)
DISCARDED = st.sampled_from([0, 0, 0, 1, 4])
READS = st.lists(st.integers(0, KEYS - 1), max_size=3).map(tuple)
U64 = st.one_of(st.integers(0, 40), st.integers(0, (1 << 64) - 1))
FAR_OFF = st.one_of(
    st.integers(-40, -1), st.sampled_from([FAR, FAR + 1, 1 << 40]), st.integers(FAR, 1 << 63)
)
FAR_DAMAGE = st.one_of(
    st.tuples(st.just("offset"), FAR_OFF),
    st.tuples(st.sampled_from(["incarnation", "count", "discarded"]), U64),
)
ANY_DAMAGE = st.one_of(
    st.tuples(st.just("offset"), st.integers(-40, 40)),
    st.tuples(st.just("offset"), FAR_OFF),
    st.tuples(st.sampled_from(["incarnation", "count", "discarded"]), U64),
)


def steps(
    copies: st.SearchStrategy[tuple[int, ...]],
    damage: st.SearchStrategy[tuple[str, int] | None] = st.none(),  # noqa: B008
) -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(
            Step, events=EVENTS, discarded=DISCARDED, copies=copies, damage=damage, reads=READS
        ),
        max_size=30,
    )


LOST_OR_NOT = st.sampled_from([(0,), ()])
LOST_OR_REPEATED = st.one_of(LOST_OR_NOT, st.tuples(st.just(0), st.integers(0, 6)))
ANYHOW = st.one_of(LOST_OR_REPEATED, st.tuples(st.integers(0, 6)))


def with_heartbeats_in_time(stream: list[Step]) -> list[Step]:
    """Repeat heartbeats only immediately.

    Two late heartbeats look like those of an idle sender and cause one notice too many, which is
    safe.
    """
    return [
        dataclasses.replace(step, copies=(0,) * len(step.copies)) if not step.events else step
        for step in stream
    ]


def assert_exact(exchange: Exchange, stream: Sequence[Step]) -> None:
    """Compare the reports with the real losses: number, cause and position."""
    assert exchange.missed("gap") == sum(step.events for step in stream if step.is_lost)
    assert exchange.missed("discarded") == sum(step.discarded for step in stream)
    number = 0
    for item in exchange.received:
        if isinstance(item, Missed):
            number += item.events or 0
        else:
            assert item == number, "an event without the notice of what is missing before it"
            number += 1
    assert exchange.stale == {}


def with_damage_once_and_in_time(stream: list[Step]) -> list[Step]:
    return [
        dataclasses.replace(step, copies=step.copies and (0,)) if step.damage is not None else step
        for step in stream
    ]


@settings(max_examples=3 * settings().max_examples)
@given(steps(LOST_OR_NOT))
def test_losses_are_reported_exactly(stream: list[Step]) -> None:
    exchange = Exchange()
    exchange.run(stream)
    assert_exact(exchange, stream)


@settings(max_examples=3 * settings().max_examples)
@given(steps(LOST_OR_REPEATED).map(with_heartbeats_in_time))
def test_repeats_are_delivered_once(stream: list[Step]) -> None:
    exchange = Exchange()
    exchange.run(stream)
    assert_exact(exchange, stream)


@settings(max_examples=2 * settings().max_examples)
@given(stream=steps(LOST_OR_REPEATED).map(with_heartbeats_in_time), base=st.integers(0, 1000))
def test_late_joiner_gets_later_losses(stream: list[Step], base: int) -> None:
    exchange = Exchange(settled=False, base=base)
    exchange.run(stream)
    first = next((place for place, step in enumerate(stream) if not step.is_lost), len(stream))
    seen = stream[first:]
    assert exchange.missed("gap") == sum(step.events for step in seen if step.is_lost)
    assert exchange.missed("discarded") == sum(step.discarded for step in seen[1:])
    assert exchange.delivered == sorted(set(exchange.delivered))
    # Keys that were read before the sender's first message may be stale.
    if not any(step.events for step in stream[:first]) and not any(
        step.discarded for step in stream[: first + 1]
    ):
        assert exchange.stale == {}


@settings(max_examples=6 * settings().max_examples)
@given(
    stream=steps(ANYHOW, st.one_of(st.none(), FAR_DAMAGE)).map(with_damage_once_and_in_time),
    settled=st.booleans(),
)
def test_damage_leaves_nothing_stale(stream: list[Step], settled: bool) -> None:
    exchange = Exchange(settled=settled)
    exchange.run([Step(0), *stream])
    assert exchange.stale == {}


@settings(max_examples=4 * settings().max_examples)
@given(
    stream=st.lists(
        st.tuples(EVENTS, EVENTS, EVENTS, st.one_of(st.none(), ANY_DAMAGE), READS), max_size=12
    ),
    settled=st.booleans(),
)
def test_damaged_number_heals_in_two_messages(
    stream: list[tuple[int, int, int, tuple[str, int] | None, tuple[int, ...]]], settled: bool
) -> None:
    exchange = Exchange(settled=settled)
    damaged = [
        step
        for events, second, third, damage, reads in stream
        for step in (Step(events, damage=damage, reads=reads), Step(second), Step(third))
    ]
    exchange.run([Step(0), *damaged])
    assert exchange.stale == {}


@pytest.mark.parametrize("faulty", [0.05, 0.3, 0.8])
def test_random_faults_leave_nothing_stale(faulty: float) -> None:
    for seed in range(40):
        exchange = Exchange(settled=seed % 2 == 0)
        exchange.run([Step(0), *random_steps(random.Random(seed), 100, faulty)])
        assert exchange.stale == {}, f"seed {seed}"


NUMBERS = st.one_of(
    st.none(),
    st.just("malformed"),
    st.tuples(
        st.integers(4, 6),
        st.one_of(st.just(0), st.integers(FAR, (1 << 64) - 1)),
        st.integers(FAR, (1 << 64) - 1),
        U64,
    ).map(lambda each: (*each[:2], min(each[2], (1 << 64) - 1 - each[1]), each[3])),  # no overflow
)
NOTES = st.sampled_from([None, None, "resend", "goodbye", "hello"])


@settings(max_examples=5 * settings().max_examples)
@given(
    st.lists(
        st.tuples(NUMBERS, st.integers(0, 3), st.booleans(), st.booleans(), NOTES), max_size=25
    ),
    st.booleans(),
    st.integers(100, 1000),
)
def test_any_header_keeps_sender(
    junk: list[tuple[tuple[int, int, int, int] | None, int, bool, bool, str | None]],
    settled: bool,
    place: int,
) -> None:
    receiver = ReceivingSide(settled=settled)
    for numbers, count, agrees, is_intact, note in junk:
        if agrees and isinstance(numbers, tuple) and numbers[1]:
            offset = min(numbers[1], (1 << 64) - 1 - count)
            numbers = (numbers[0], offset, count, numbers[3])
        receiver.receive_payload(numbers, payload(range(count)) + b"\xff" * (not is_intact), note)
    for incarnation in (4, 5, 6):
        receiver.receive(place + 2, 1, incarnation=incarnation)
        receiver.receive(place + 3, 1, incarnation=incarnation)
        assert place + 4 in receiver.receive(place + 4, 1, incarnation=incarnation)
