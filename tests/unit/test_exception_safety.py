"""Memory fails, or an exception comes from outside, while a message is received.

Whatever is not delivered afterwards is reported before anything newer. Nothing is delivered twice,
and no consumer stays asleep.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple

import pytest

from fastcoord import Missed, StateChange
from fastcoord.nats.parser import Parser
from fastcoord.receiving.consumer import Overflow
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.notices import fold, overflow_notices
from fastcoord.receiving.ring import Ring
from support.receiving.messages import frame_of
from support.receiving.receiving_side import (
    EVENTS_SUBSCRIPTION,
    INCARNATION,
    PROTOCOL,
    SENDER,
    ReceivingSide,
    payload,
)

CALLS = 60
"""More calls, and more allocations, than one message takes."""


class Batch(NamedTuple):
    """A batch of events that are numbered like their offsets."""

    offset: int
    count: int
    has_header: bool = True


class Signal(BaseException):
    """What a signal handler raises."""


# The batch before the last one meets the failure. Each case takes another path in the receiver.
CASES = {
    "continued": [Batch(0, 2), Batch(2, 1), Batch(3, 1), Batch(4, 2)],
    "first": [Batch(0, 2), Batch(2, 2)],
    "first behind a heartbeat": [Batch(1000, 0), Batch(1000, 2), Batch(1002, 2)],
    "behind a gap": [Batch(0, 2), Batch(5, 2), Batch(7, 1)],
    "without a header": [Batch(0, 2, False), Batch(2, 2, False), Batch(4, 1, False)],
    "first without a header": [Batch(0, 2, False), Batch(2, 2, False)],
}


class Side:
    """A receiving side with two rings of which the second is small, and its consumers."""

    def __init__(self, overflow: Overflow) -> None:
        self.node = ReceivingSide(settled=False)
        self.node.receiver.remove_ring(self.node.ring)
        self.cursors = []
        for capacity in (100, 1):
            ring = Ring(capacity, 1 << 20, drop_newest=overflow == "drop-newest", fold=fold)
            self.node.receiver.add_ring(ring)
            self.cursors.append(
                Cursor(
                    ring,
                    protocol=PROTOCOL,
                    kinds=None,
                    as_notices=overflow_notices,
                    get_loop=None,  # type: ignore[arg-type]
                )
            )
        self.parser = Parser(self.node.receiver, lambda line: None, read_size=4096)

    def receive(self, *batches: Batch) -> None:
        """Receive batches in one read."""
        self.parser.feed_bytes(b"".join(map(frame, batches)))

    def read(self, batch: Batch) -> int:
        """Read a batch into the parser's memory, and return its size."""
        data = frame(batch)
        with memoryview(self.parser) as memory:
            memory[: len(data)] = data
        return len(data)

    def assert_sums(self) -> None:
        """Compare each ring with what its consumer has."""
        for cursor in self.cursors:
            ring = cursor.ring
            assert ring.arrived == (
                cursor.delivered + cursor.buffered + cursor.filtered + ring.missed
            )

    def assert_ledger(self, batches: list[Batch]) -> None:
        """Check that each consumer has every event, or a notice before the next newer one."""
        sent = [
            number
            for batch in batches
            for number in range(batch.offset, batch.offset + batch.count)
        ]
        for cursor in self.cursors:
            missing = list(sent)
            is_reported = is_reported_for_all = False
            while (item := cursor.take_event()) is not None:
                if not isinstance(item, StateChange):
                    assert getattr(item, "events", None) in (None, *range(len(sent) + 1)), item
                    is_reported = is_reported or isinstance(item, Missed)
                    # What could not be recorded in its place comes before everything else.
                    is_reported_for_all |= item == Missed(None, None, "overflow")
                    continue
                assert item.change_id in missing, f"{item} comes twice or late"
                if missing[0] != item.change_id:
                    assert is_reported, f"{missing[0]} is missing before {item} in silence"
                    del missing[: missing.index(item.change_id)]
                del missing[0]
                is_reported = is_reported_for_all
            assert not missing or is_reported, f"{missing} are missing in silence"
        self.assert_sums()


def frame(batch: Batch) -> bytes:
    numbers = (INCARNATION, batch.offset, batch.count, 0) if batch.has_header else None
    events = range(batch.offset, batch.offset + batch.count)
    return frame_of(EVENTS_SUBSCRIPTION, payload(events, SENDER), numbers)


def play(
    case: str, overflow: Overflow, failing: Callable[[], contextlib.AbstractContextManager[None]]
) -> Side:
    """Receive the batches of a case, the last but one with a failure."""
    batches = CASES[case]
    side = Side(overflow)
    side.receive(*batches[:-2])
    size = side.read(batches[-2])
    with failing():
        side.parser.feed(size)
    side.assert_sums()
    side.receive(batches[-1])
    # A heartbeat shows what is missing at the end.
    side.receive(Batch(batches[-1].offset + batches[-1].count, 0, batches[-1].has_header))
    side.assert_ledger(batches)
    return side


@pytest.mark.parametrize("overflow", ["drop-oldest", "drop-newest"])
@pytest.mark.parametrize("case", CASES)
def test_failed_allocation_is_reported(case: str, overflow: Overflow) -> None:
    testcapi = pytest.importorskip("_testcapi")
    failures = 0
    for spared in range(CALLS):

        @contextlib.contextmanager
        def failing(spared: int = spared) -> Iterator[None]:
            nonlocal failures
            # A callback of the garbage collector without memory is reported as unraisable.
            gc.disable()
            testcapi.set_nomemory(spared, spared + 1)
            try:
                yield
            except MemoryError:
                failures += 1
            finally:
                testcapi.remove_mem_hooks()
                gc.enable()

        play(case, overflow, failing)
    assert failures


@pytest.mark.parametrize("overflow", ["drop-oldest", "drop-newest"])
@pytest.mark.parametrize("case", CASES)
def test_exception_from_outside_is_reported(case: str, overflow: Overflow) -> None:
    """As a signal handler raises it: at the entry of some Python function."""
    failures = 0
    for spared in range(CALLS):
        left = spared

        def trace(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal left
            if event == "call" and "fastcoord/receiving" in frame.f_code.co_filename:
                left -= 1
                if left < 0:
                    sys.setprofile(None)
                    raise Signal

        @contextlib.contextmanager
        def failing() -> Iterator[None]:
            nonlocal failures
            sys.setprofile(trace)
            try:
                yield
            except Signal:
                failures += 1
            finally:
                sys.setprofile(None)

        play(case, overflow, failing)
    assert failures or case == "continued"


def test_every_consumer_is_woken() -> None:
    side = Side("drop-oldest")
    side.receive(Batch(0, 1))
    woken: list[str] = []
    for cursor in side.cursors:
        while cursor.take_event() is not None:
            pass

    def interrupted() -> None:
        woken.append("first")
        if len(woken) == 1:
            raise Signal

    first, second = (cursor.ring for cursor in side.cursors)
    first.wait(interrupted)
    second.wait(lambda: woken.append("second"))
    with pytest.raises(Signal):
        side.receive(Batch(1, 1))
    assert woken == ["first", "first", "second"]
    side.receive(Batch(2, 1))
    assert woken == ["first", "first", "second"]
    side.assert_ledger([Batch(1, 2)])


def test_failed_wake_up_is_repeated() -> None:
    side = Side("drop-oldest")
    side.receive(Batch(0, 1))
    attempts: list[int] = []

    def fail() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise Signal

    side.cursors[0].take_batch()
    side.cursors[0].take_batch()
    side.cursors[0].ring.wait(fail)
    with pytest.raises(Signal):
        side.receive(Batch(1, 1))
    assert len(attempts) == 2
    side.receive(Batch(2, 1))
    assert len(attempts) == 3
    side.receive(Batch(3, 1))
    assert len(attempts) == 3
