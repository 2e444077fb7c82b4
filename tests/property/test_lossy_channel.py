"""A faulty channel never leaves a consumer with a stale cache.

Messages are lost, repeated or late. What is reported is exact: a late event counts as missing,
because newer ones were delivered before it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcoord import Missed
from support.faults.channel import KEYS, Exchange, Step, random_steps
from support.receiving.receiving_side import HEARTBEAT, ReceivingSide, payload

EVENTS = st.integers(0, 5)
DISCARDED = st.sampled_from([0, 0, 0, 1, 4])
READS = st.lists(st.integers(0, KEYS - 1), max_size=3).map(tuple)
U64 = st.one_of(st.integers(0, 40), st.integers(0, (1 << 64) - 1))


def steps(
    copies: st.SearchStrategy[tuple[int, ...]],
) -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(Step, events=EVENTS, discarded=DISCARDED, copies=copies, reads=READS),
        max_size=30,
    )


LOST_OR_NOT = st.sampled_from([(0,), ()])
LOST_OR_REPEATED = st.one_of(LOST_OR_NOT, st.tuples(st.just(0), st.integers(0, 6)))
ANYHOW = st.one_of(LOST_OR_REPEATED, st.tuples(st.integers(0, 6)))


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


@settings(max_examples=3 * settings().max_examples)
@given(steps(LOST_OR_NOT))
def test_losses_are_reported_exactly(stream: list[Step]) -> None:
    exchange = Exchange()
    exchange.run(stream)
    assert_exact(exchange, stream)


@settings(max_examples=3 * settings().max_examples)
@given(steps(LOST_OR_REPEATED))
def test_repeats_are_delivered_once(stream: list[Step]) -> None:
    exchange = Exchange()
    exchange.run(stream)
    assert_exact(exchange, stream)


@settings(max_examples=2 * settings().max_examples)
@given(stream=steps(LOST_OR_REPEATED), base=st.integers(0, 1000))
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
@given(steps(ANYHOW), st.booleans())
def test_late_events_are_missing(stream: list[Step], settled: bool) -> None:
    exchange = Exchange(settled=settled)
    exchange.run([Step(0), *stream])
    assert exchange.stale == {}
    delivered = exchange.delivered
    assert delivered == sorted(set(delivered))
    accepted = sum(step.events + step.discarded for step in stream)
    if settled:
        missed = exchange.missed("gap") + exchange.missed("discarded")
        assert len(delivered) + missed == accepted


@pytest.mark.parametrize("faulty", [0.05, 0.3, 0.8])
def test_random_faults_leave_nothing_stale(faulty: float) -> None:
    for seed in range(40):
        exchange = Exchange(settled=seed % 2 == 0)
        exchange.run([Step(0), *random_steps(random.Random(seed), 100, faulty)])
        assert exchange.stale == {}, f"seed {seed}"


NUMBERS = st.one_of(
    st.none(),
    st.just("malformed"),
    st.tuples(st.integers(4, 6), U64, U64, U64, st.sampled_from([0, 0, 1, 7])).filter(
        lambda each: each[1] + each[2] < 1 << 64
    ),
)
NOTES = st.sampled_from([None, None, "resend", "goodbye", "hello"])
FORGED = st.lists(
    st.tuples(NUMBERS, st.integers(0, 3), st.booleans(), st.booleans(), NOTES), max_size=25
)


@settings(max_examples=5 * settings().max_examples)
@given(FORGED, st.booleans(), st.integers(100, 1000), st.booleans())
def test_any_header_keeps_sender(
    forged: list[tuple[tuple[int, ...] | str | None, int, bool, bool, str | None]],
    settled: bool,
    place: int,
    is_mute: bool,
) -> None:
    """A sender is received again, whatever was forged, and whether it answers or not."""
    receiver = ReceivingSide(settled=settled)
    receiver.watcher.can_ask = not is_mute
    for numbers, count, agrees, is_intact, note in forged:
        if agrees and isinstance(numbers, tuple):
            offset = min(numbers[1], (1 << 64) - 1 - count)
            numbers = (numbers[0], offset, count, *numbers[3:])
        receiver.receive_payload(numbers, payload(range(count)) + b"\xff" * (not is_intact), note)
    for offset in range(place, place + 20):
        questions = len(receiver.watcher.questions)
        receiver.receive(offset, 1)
        if len(receiver.watcher.questions) > questions:
            receiver.answer(offset + 1)
        receiver.tick(HEARTBEAT)
    assert receiver.receive(place + 20, 1) == [place + 20]
    assert receiver.receive(place + 21, 1) == [place + 21]
