"""Any interleaving of putting and taking: the ring matches the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastcoord.receiving.ring import Ring
from support.oracles.ring_model import EXTRA_NOTICES, Message, RingModel

NODES = st.integers(0, 3)


class RingMachine(RuleBasedStateMachine):
    """Each message holds events that are numbered by node, so that each loss has a position."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0
        self.is_waiting = False
        self.published: Counter[int] = Counter()
        self.accounted: Counter[int] = Counter()
        self.notices_put = 0
        self.notices_taken: list[str] = []
        self.may_be_out_of_place = False

    @initialize(messages=st.integers(1, 5), size=st.integers(1, 30), drop_newest=st.booleans())
    def begin(self, messages: int, size: int, drop_newest: bool) -> None:
        self.ring = Ring(messages, size, drop_newest=drop_newest)
        self.model = RingModel(messages, size, drop_newest)

    @rule(
        size=st.integers(0, 12),
        start=st.integers(0, 3),
        count=st.integers(1, 1000),
        node_id=NODES,
    )
    def put_message(self, size: int, start: int, count: int, node_id: int) -> None:
        first = self.published[node_id]
        message = Message(b"x" * size, start, count, node_id, float(first))
        if not self.model.is_closed:
            self.published[node_id] += count
        self.ring.put_message(*message)
        with self._watching_places():
            self.model.put_message(message)
        self._expect_wake(not self.model.is_closed)

    @rule(size=st.integers(31, 90), node_id=NODES, count=st.integers(1, 9))
    def put_message_larger_than_the_ring(self, size: int, node_id: int, count: int) -> None:
        self.put_message(size, 0, count, node_id)

    @rule()
    def put_notice(self) -> None:
        notice = f"notice {self.notices_put}"
        if not self.model.is_closed:
            self.notices_put += 1
        self.ring.put_notice(notice)
        with self._watching_places():
            self.model.put_notice(notice)
        self._expect_wake(not self.model.is_closed)

    @rule(times=st.integers(10, 20))
    def put_notices(self, times: int) -> None:
        for _ in range(times):
            self.put_notice()

    @rule(times=st.integers(1, 6))
    def take(self, times: int) -> None:
        for _ in range(times):
            taken = self.ring.take_next()
            assert taken == self.model.take_next()
            self._account(taken)

    @precondition(lambda self: not self.is_waiting)
    @rule()
    def wait(self) -> None:
        self.ring.wait(self._wake)
        if len(self.model) or self.model.is_closed:
            assert self._woken() == 1
        else:
            assert self._woken() == 0
            self.is_waiting = True

    @precondition(lambda self: self.published.total() > 20)
    @rule()
    def close(self) -> None:
        self.ring.close()
        self.model.is_closed = True
        self._expect_wake(True)

    @invariant()
    def every_event_is_in_one_place(self) -> None:
        if not hasattr(self, "ring"):
            return
        ring, model = self.ring, self.model
        assert ring.arrived == model.taken + ring.buffered + ring.missed
        assert (ring.arrived, ring.missed) == (model.arrived, model.missed)
        assert (ring.buffered, ring.buffered_bytes) == (model.buffered, model.buffered_bytes)
        assert ring.buffered_messages == len(model.messages)
        assert ring.high_water_messages == model.high_water
        assert ring.is_closed == model.is_closed
        assert len(ring) == len(model)

    @invariant()
    def nothing_is_unbounded(self) -> None:
        if not hasattr(self, "ring"):
            return
        assert self.ring.buffered_messages <= self.model.capacity_messages
        assert self.ring.buffered_bytes <= self.model.capacity_bytes
        # Each message may be preceded by a loss of drop-newest.
        most = 2 * self.model.capacity_messages + EXTRA_NOTICES
        assert len(self.model.notices) <= most

    def teardown(self) -> None:
        if not hasattr(self, "ring"):
            return
        while (taken := self.ring.take_next()) is not None:
            assert taken == self.model.take_next()
            self._account(taken)
        assert self.model.take_next() is None
        assert self.accounted == self.published
        assert sorted(self.notices_taken) == sorted(
            f"notice {number}" for number in range(self.notices_put)
        )
        assert self.ring.buffered == self.ring.buffered_bytes == len(self.ring) == 0

    def _account(self, taken: Any) -> None:
        if isinstance(taken, str):
            self.notices_taken.append(taken)
        elif isinstance(taken, dict):
            assert all(taken.values())
            self.accounted.update(taken)
        elif taken is not None:
            message = Message(*taken)
            if not self.may_be_out_of_place:
                assert self.accounted[message.node_id] == message.received_at, "loss out of place"
            self.accounted[message.node_id] += message.events

    @contextmanager
    def _watching_places(self) -> Iterator[None]:
        """Allow for notices, losses included, that lost their position and are taken early."""
        before = len([item for item in self.model.carried if isinstance(item, dict)])
        yield
        after = len([item for item in self.model.carried if isinstance(item, dict)])
        self.may_be_out_of_place |= after > before

    def _wake(self) -> None:
        self.wakes += 1

    def _woken(self) -> int:
        wakes, self.wakes = self.wakes, 0
        return wakes

    def _expect_wake(self, something_came: bool) -> None:
        assert self._woken() == int(self.is_waiting and something_came)
        if something_came:
            self.is_waiting = False


RingMachine.TestCase.settings = settings(
    max_examples=3 * settings().max_examples, stateful_step_count=40
)
TestRing = RingMachine.TestCase
