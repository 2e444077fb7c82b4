"""Any order of publishing, sending, confirming and discarding: the batcher matches the model."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastcoord import (
    CalendarAlert,
    EmailPush,
    Event,
    InvalidateAccessTokens,
    ReloadSettings,
    StateChange,
)
from fastcoord.errors import EventTooLarge
from fastcoord.publishing.batcher import Batcher
from fastcoord.wire.sealed_batch import SealedBatch
from support.oracles.batcher_model import (
    NODE_ID,
    PREFIX,
    PROTOCOL,
    BatcherModel,
    TooLargeError,
    encode,
    size_of,
)

SIZES = [bound for bits in range(7, 70, 7) for bound in ((1 << bits) - 1, 1 << bits)]
"""Where an integer begins to take another byte."""
U32 = st.sampled_from([0, *(size for size in SIZES if size < 1 << 32), (1 << 32) - 1])
U64 = st.sampled_from([0, *(size for size in SIZES if size < 1 << 64), (1 << 64) - 1])
LISTS = st.builds(
    lambda first, count: InvalidateAccessTokens(tuple(range(first, first + count))),
    st.sampled_from([0, 100, (1 << 14) - 30, (1 << 32) - 60]),
    st.integers(0, 60),
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(StateChange, U32, U64, U64),
    st.builds(StateChange, U32, U64, U64),
    st.just(ReloadSettings()),
    st.builds(EmailPush, U32, U32, U64),
    LISTS,
    st.builds(CalendarAlert, U32, U32, st.just(None), st.text(max_size=40), st.just("")),
)
SMALLEST = 13
"""Below this limit a list of one member may not fit."""
LIMITS = st.one_of(st.integers(SMALLEST, 60), st.integers(60, 400))


class BatcherMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.flushes_scheduled = 0
        self.largest_limit = 0
        self.over_capacity = 0

    @initialize(limit=LIMITS, capacity=st.integers(1, 6))
    def begin(self, limit: int, capacity: int) -> None:
        self.largest_limit = limit
        self.model = BatcherModel(limit, capacity)
        self.batcher = Batcher(
            node_id=NODE_ID,
            protocol=PROTOCOL,
            limit=limit,
            capacity=capacity,
            clock=lambda: self.model.now,
            on_open=self._schedule_flush,
            on_seal=lambda: None,
        )

    # ----------------------------------------------------------------------- publishing

    @rule(events=st.lists(EVENTS, max_size=12), always=st.booleans())
    def publish(self, events: list[Event], always: bool) -> None:
        prepared = self._prepare(events)
        if prepared is None:
            return
        before = self.batcher.accepted
        if always:
            self.batcher.add_always(prepared)
            self.model.add_always(prepared)
        else:
            done = self.batcher.add_from(prepared)
            assert done == self.model.add_from(prepared)
        if self.batcher.accepted > before:
            assert self.batcher.is_flush_scheduled

    @rule(events=st.lists(EVENTS, min_size=1, max_size=5), limit=st.integers(SMALLEST, 60))
    def publish_what_was_prepared_under_another_limit(
        self, events: list[Event], limit: int
    ) -> None:
        prepared = self._prepare(events)
        self.set_limit(limit)
        if prepared is None:
            return
        try:
            expected = self.model.add_from(prepared)
        except TooLargeError:
            with pytest.raises(EventTooLarge, match="the server of this connection allows"):
                self.batcher.add_from(prepared)
        else:
            assert self.batcher.add_from(prepared) == expected

    def _prepare(self, events: list[Event]) -> tuple[Event, ...] | None:
        """Prepare events; return ``None`` if one of them is too large and is refused."""
        limit = self.model.limit - PREFIX
        large = [event for event in events if size_of(event) > limit]
        if not all(isinstance(event, InvalidateAccessTokens) for event in large):
            with pytest.raises(EventTooLarge, match=f"a batch holds {limit}"):
                self.batcher.prepare(tuple(events))
            return None
        prepared = self.batcher.prepare(tuple(events))
        assert all(size_of(event) <= limit for event in prepared)
        assert _joined(prepared, events)
        return prepared

    # --------------------------------------------------------------- sealing and sending

    @rule(seconds=st.integers(0, 3))
    def begin_flush(self, seconds: int) -> None:
        self.model.now += seconds
        self.batcher.begin_flush()
        self.flushes_scheduled = 0

    @rule()
    def seal(self) -> None:
        assert self.batcher.seal() == self.model.seal()

    @rule(most_bytes=st.integers(0, 500))
    def take(self, most_bytes: int) -> None:
        found, expected = self.batcher.take(most_bytes), self.model.take(most_bytes)
        _assert_same(found, expected)
        assert [batch.discarded for batch in found] == [batch.discarded for batch in expected]

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        ends = [batch.end for batch in self.model.window]
        up_to = data.draw(st.sampled_from([*ends, len(self.model.accepted), 0]))
        up_to = max(0, up_to + data.draw(st.integers(-1, 1)))
        self.batcher.confirm(up_to, self.model.now)
        self.model.confirm(up_to)

    @rule(seconds=st.one_of(st.none(), st.integers(0, 5)))
    def lose_the_connection(self, seconds: int | None) -> None:
        self.batcher.rewind()
        self.model.rewind()
        if seconds is not None:
            self.batcher.repeat(self.model.now - seconds)
            self.model.repeat(self.model.now - seconds)

    # ------------------------------------------------------------------------ discarding

    @rule(seconds=st.integers(-1, 5))
    def discard_before(self, seconds: int) -> None:
        deadline = self.model.now - seconds
        assert self.batcher.discard_before(deadline) == self.model.discard_before(deadline)

    @rule(limit=LIMITS)
    def join_a_server_that_takes_less(self, limit: int) -> None:
        self.set_limit(limit)
        discarded = self.batcher.split_larger(limit, PROTOCOL)
        assert discarded == self.model.split_larger(limit)
        unsent = [*self.batcher.resend, *self.batcher.queue]
        assert all(len(batch.payload) <= limit for batch in unsent)

    @rule(limit=LIMITS)
    def set_limit(self, limit: int) -> None:
        self.over_capacity += self.batcher.is_full
        self.largest_limit = max(self.largest_limit, limit)
        self.batcher.set_limit(limit)
        self.model.set_limit(limit)

    # -------------------------------------------------------------------- what must hold

    @invariant()
    def it_is_as_the_model(self) -> None:
        if not hasattr(self, "batcher"):
            return
        batcher, model = self.batcher, self.model
        assert batcher.accepted == len(model.accepted)
        assert (batcher.confirmed, batcher.discarded) == (
            model.confirmed,
            len(model.discarded),
        )
        assert (batcher.open_count, batcher.sealed_batches) == (len(model.open), model.sealed)
        assert batcher.is_full == (not model.has_capacity)
        assert batcher.offset == len(model.accepted) - len(model.open)
        assert batcher.queue_bytes == sum(len(batch.payload) for batch in batcher.queue)
        assert batcher.unconfirmed_batches == model.unconfirmed_batches
        assert batcher.next_offset == model.next_offset
        assert batcher.next_discarded == model.discarded_before(model.next_offset)
        _assert_same(batcher.queue, model.queue)
        _assert_same(batcher.resend, model.resend)
        _assert_same(batcher.window, model.window)
        _assert_same(batcher.recent, model.recent)

    @invariant()
    def every_event_is_in_one_place(self) -> None:
        if not hasattr(self, "batcher"):
            return
        batcher, model = self.batcher, self.model
        assert batcher.accepted == batcher.confirmed + batcher.waiting + batcher.discarded
        assert batcher.waiting == model.waiting
        assert batcher.empty_payload() == encode([])

    @invariant()
    def what_is_sent_is_what_was_accepted(self) -> None:
        if not hasattr(self, "batcher"):
            return
        on_the_way = [*self.batcher.window, *self.batcher.resend, *self.batcher.queue]
        for batch in on_the_way:
            events = self.model.accepted[batch.offset : batch.offset + batch.count]
            assert batch.payload == encode(events)
            assert batch.count > 0
            assert len(batch.payload) <= self.largest_limit
        for before, after in pairwise(on_the_way):
            assert before.offset + before.count <= after.offset

    @invariant()
    def the_capacity_holds(self) -> None:
        if not hasattr(self, "batcher"):
            return
        assert self.batcher.unconfirmed_batches <= self.model.capacity + self.over_capacity

    @invariant()
    def flush_is_scheduled_once(self) -> None:
        if not hasattr(self, "batcher"):
            return
        assert self.flushes_scheduled == self.batcher.is_flush_scheduled

    def _schedule_flush(self) -> None:
        self.flushes_scheduled += 1


def _joined(pieces: tuple[Event, ...], events: list[Event]) -> bool:
    """Return whether the pieces are the events with lists split but not changed."""
    left = list(pieces)
    for event in events:
        if left and left[0] == event:
            left.pop(0)
            continue
        assert isinstance(event, InvalidateAccessTokens)
        ids: tuple[int, ...] = ()
        while len(ids) < len(event.account_ids):
            piece = left.pop(0)
            assert isinstance(piece, InvalidateAccessTokens)
            ids += piece.account_ids
        assert ids == event.account_ids
    return not left


def _assert_same(found: object, expected: object) -> None:
    plain = [
        (each.payload, each.offset, each.count, each.accepted_at, each.confirmed_at)
        for each in _sealed(found)
    ]
    assert plain == [
        (batch.payload, batch.offset, len(batch.events), batch.accepted_at, batch.confirmed_at)
        for batch in expected  # type: ignore[attr-defined]
    ]


def _sealed(batches: object) -> list[SealedBatch]:
    return list(batches)  # type: ignore[call-overload, no-any-return]


BatcherMachine.TestCase.settings = settings(
    max_examples=2 * settings().max_examples, stateful_step_count=40
)
TestBatcher = BatcherMachine.TestCase


@given(event=LISTS, limit=LIMITS)
def test_list_split_is_minimal(event: InvalidateAccessTokens, limit: int) -> None:
    batcher = Batcher(
        node_id=NODE_ID,
        protocol=PROTOCOL,
        limit=limit,
        capacity=1,
        clock=lambda: 0.0,
        on_open=lambda: None,
        on_seal=lambda: None,
    )
    pieces = batcher.prepare((event,))
    assert _joined(pieces, [event])
    assert all(PREFIX + size_of(piece) <= limit for piece in pieces)
    per_piece = (limit - PREFIX - 6) // 5
    assert len(pieces) <= max(1, -(-len(event.account_ids) // per_piece))
