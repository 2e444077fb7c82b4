"""A subscription without a node: waiting, ending, stats, folding of notices."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import fastcoord
from fastcoord import (
    AppEvent,
    ConnectionLost,
    Disconnected,
    DuplicateNodeId,
    Event,
    Missed,
    Notice,
    PeerDown,
    PeerUp,
    Reconnected,
    ReloadSettings,
    StateChange,
    SubscriptionError,
    UnsupportedEvent,
    WrongLoop,
)
from fastcoord._awaitable import Waiter
from fastcoord.receiving.consumer import Consumer, Overflow
from fastcoord.receiving.notices import fold, split_kinds
from fastcoord.receiving.ring import Ring
from fastcoord.receiving.subscription import Subscription
from support.receiving.receiving_side import PROTOCOL
from support.wait import until


class Harness:
    """A subscription, and a way to put messages into it as a node does."""

    def __init__(
        self,
        *,
        kinds: Any = None,
        overflow: Overflow = "drop-oldest",
        peers: bool = False,
        connection: bool = False,
        capacity: int = 100,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.closed: list[Ring] = []
        self.consumer = Consumer(
            protocol=PROTOCOL,
            kinds=kinds,
            overflow=overflow,
            peers=peers,
            connection=connection,
            capacity_messages=capacity,
            capacity_bytes=1 << 20,
            on_close=lambda consumer: self.closed.append(consumer.ring),
            loop=loop,
        )
        self.ring = self.consumer.ring
        self.subscription = Subscription(self.consumer)

    def __del__(self) -> None:
        if hasattr(self, "subscription"):
            self.subscription.close()

    def release(self) -> None:
        """Drop the references to the subscription, as a program does that has not closed it."""
        del self.consumer, self.subscription

    def put(self, *events: Event, node_id: int = 7) -> None:
        content = fastcoord.encode_batch(events, node_id=node_id, protocol=PROTOCOL)
        self.consumer.ring.put_message(content, 1, len(events), node_id, 0.0)

    def assert_sum(self) -> None:
        stats = self.subscription.stats()
        assert stats.arrived == stats.delivered + stats.buffered + stats.filtered + stats.missed


def change(number: int) -> StateChange:
    return StateChange(1, number, 0)


async def take(subscription: Subscription) -> Any:
    return await subscription.__anext__()


async def is_waiting(harness: Harness) -> None:
    await until(lambda: harness.consumer.is_waiting, because="the consumer waits")


async def test_waiting_consumer_gets_event() -> None:
    harness = Harness()
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    harness.put(change(1))
    assert await task == change(1)


async def test_second_waiting_task_is_refused() -> None:
    harness = Harness()
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    with pytest.raises(SubscriptionError, match="two tasks wait for one subscription: let each"):
        await take(harness.subscription)
    with pytest.raises(SubscriptionError, match="two tasks"):
        await anext(harness.subscription.batches())
    harness.put(change(1))
    assert await task == change(1)


@pytest.mark.parametrize("is_iterated", [False, True])
async def test_unreferenced_subscription_is_closed(is_iterated: bool) -> None:
    """At once: no reference cycle waits for the garbage collector."""
    gc.disable()
    try:
        harness = Harness()
        ring = harness.ring
        harness.put(change(1), change(2))
        if is_iterated:
            # The iteration alone keeps it open.
            iterator: Any = aiter(harness.subscription)
            harness.release()
            assert await anext(iterator) == change(1)
            assert not ring.is_closed
            batches: Any = iterator.batches()
            del iterator
            assert list(await anext(batches)) == [change(2)]
            waiting = batches.__anext__()
            waiting.send(None)
            waiting.close()
            assert not ring.is_closed
            with pytest.warns(ResourceWarning, match="without close"):
                del batches, waiting
        else:
            with pytest.warns(ResourceWarning, match="without close"):
                harness.release()
        assert ring.is_closed
        assert len(ring) == 0
        assert harness.closed == [ring]
    finally:
        gc.enable()


async def test_waiting_task_keeps_subscription() -> None:
    harness = Harness()
    ring = harness.ring
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    harness.release()
    gc.collect()
    payload = fastcoord.encode_batch([change(1)], node_id=7, protocol=PROTOCOL)
    ring.put_message(payload, 1, 1, 7, 0.0)
    with pytest.warns(ResourceWarning, match="without close"):  # noqa: PT031
        assert await task == change(1)
        del task
    assert ring.is_closed


async def test_closed_node_needs_no_close() -> None:
    harness = Harness()
    harness.consumer.end(None)
    harness.release()
    gc.collect()


async def test_closed_subscription_is_not_iterated() -> None:
    harness = Harness()
    under_way = aiter(harness.subscription)
    harness.subscription.close()
    with pytest.raises(SubscriptionError, match=r"is closed: iterate within `async with`"):
        aiter(harness.subscription)
    with pytest.raises(SubscriptionError, match="is closed"):
        harness.subscription.batches()
    assert [event async for event in under_way] == []


async def test_other_loop_is_refused() -> None:
    harness = Harness(loop=asyncio.get_running_loop())
    harness.put(change(1))

    async def iterate() -> None:
        assert await take(harness.subscription) == change(1)
        with pytest.raises(WrongLoop, match=r"where connect\(\) was called"):
            await take(harness.subscription)

    await asyncio.to_thread(asyncio.run, iterate())


class Interruption(BaseException):
    """What a signal handler raises."""


class Interrupting:
    """Ends the next calls of ``call_soon`` for a waiting task.

    :param is_lost: whether the call seems to succeed; otherwise it raises.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool) -> None:
        loop = asyncio.get_running_loop()
        self._call_soon = loop.call_soon
        self._is_lost = is_lost
        self.calls = 0
        monkeypatch.setattr(loop, "call_soon", self)

    def __call__(self, callback: Any, *arguments: Any, context: Any = None) -> Any:
        if isinstance(getattr(callback, "__self__", None), Waiter):
            self.calls += 1
            if self.calls == 1:
                if self._is_lost:
                    return self._call_soon(lambda: None)
                raise Interruption
        return self._call_soon(callback, *arguments, context=context)


async def test_interrupted_wake_up_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    interrupting = Interrupting(monkeypatch, is_lost=False)
    with pytest.raises(Interruption):
        harness.put(change(1))
    assert await task == change(1)
    assert interrupting.calls == 2


async def test_lost_wake_up_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    interrupting = Interrupting(monkeypatch, is_lost=True)
    harness.put(change(1))
    # The node calls this at each tick.
    harness.consumer.wake()
    harness.consumer.wake()
    assert await task == change(1)
    assert interrupting.calls == 3
    harness.consumer.wake()
    assert interrupting.calls == 3


async def test_task_may_follow_another() -> None:
    """A task that was cancelled does not wait any longer, even before it has noticed."""
    harness = Harness()
    first = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    first.cancel()
    second = asyncio.create_task(take(harness.subscription))
    with pytest.raises(asyncio.CancelledError):
        await first
    await is_waiting(harness)
    harness.put(change(1))
    assert await second == change(1)


async def test_cancelled_anext_keeps_event() -> None:
    harness = Harness()
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    harness.put(change(1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await take(harness.subscription) == change(1)
    harness.assert_sum()


async def test_busy_consumer_yields_to_tasks() -> None:
    harness = Harness()
    for _ in range(50):
        harness.put(*[change(number) for number in range(500)])
    harness.consumer.end(None)
    iterations = 0

    async def other() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    taken = [event async for event in harness.subscription]
    task.cancel()
    assert len(taken) == 25_000
    assert iterations >= 5
    harness.assert_sum()


async def test_close_ends_waiting_iteration() -> None:
    harness = Harness()

    async def consume() -> list[Any]:
        return [event async for event in harness.subscription]

    task = asyncio.create_task(consume())
    await is_waiting(harness)
    harness.subscription.close()
    assert await task == []
    assert harness.closed == [harness.ring]


async def test_closed_subscription_still_adds_up() -> None:
    harness = Harness()
    harness.put(change(1), change(2), change(3))
    harness.put(change(4))
    assert await take(harness.subscription) == change(1)
    harness.subscription.close()
    harness.subscription.close()
    with pytest.raises(StopAsyncIteration):
        await harness.subscription.__anext__()
    harness.assert_sum()
    assert harness.subscription.stats().buffered == 3


async def test_context_exit_closes_subscription() -> None:
    harness = Harness()
    async with harness.subscription as events:
        assert events is harness.subscription
    assert harness.closed == [harness.ring]
    with pytest.raises(StopAsyncIteration):
        await events.__anext__()


async def test_buffered_events_precede_end() -> None:
    harness = Harness()
    harness.put(change(1))
    harness.consumer.end(None)
    harness.put(change(2))
    assert [event async for event in harness.subscription] == [change(1)]


async def test_buffered_events_precede_failure() -> None:
    harness = Harness()
    harness.put(change(1))
    harness.consumer.end(ConnectionLost("gone"))
    batches = harness.subscription.batches()
    batch = await batches.__anext__()
    assert isinstance(batch, fastcoord.Batch)
    assert list(batch) == [change(1)]
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone"):
            await batches.__anext__()
        with pytest.raises(ConnectionLost, match="gone"):
            await harness.subscription.__anext__()


async def test_stats_add_up_always() -> None:
    for overflow in ("drop-oldest", "drop-newest"):
        harness = Harness(kinds=[StateChange], overflow=overflow, capacity=3)
        for number in range(12):
            harness.put(change(number), ReloadSettings(), change(number))
            harness.assert_sum()
            if number % 3 == 0:
                await take(harness.subscription)
                harness.assert_sum()
        harness.consumer.end(None)
        taken = [event async for event in harness.subscription]
        harness.assert_sum()
        stats = harness.subscription.stats()
        reported = sum(item.events or 0 for item in taken if isinstance(item, Missed))
        assert reported <= stats.missed
        assert stats.buffered == 0
        assert stats.high_water_messages == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [Missed(1, 1, "gap")]),
        ({"peers": True}, [PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)]),
        ({"kinds": PeerUp}, [PeerUp(1), Missed(1, 1, "gap")]),
        ({"kinds": [Missed]}, [Missed(1, 1, "gap")]),
        ({"kinds": [StateChange, PeerDown]}, [Missed(1, 1, "gap"), PeerDown(1, True)]),
    ],
)
def test_peer_notices_are_opt_in(options: dict[str, Any], expected: list[Notice]) -> None:
    harness = Harness(**options)
    for notice in (PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)):
        harness.consumer.ring.put_notice(notice)
    reported = []
    while (notice := harness.consumer.ring.take_next()) is not None:
        reported.append(notice)
    assert reported == expected


def test_unknown_overflow_is_refused() -> None:
    with pytest.raises(ValueError, match='"drop-oldest" or "drop-newest", not \'block\''):
        Harness(overflow="block")  # type: ignore[arg-type]


def test_notice_kinds_filter_all_events() -> None:
    harness = Harness(kinds=[PeerDown])
    harness.put(change(1), change(2))
    harness.consumer.ring.put_notice(PeerDown(7, True))
    assert harness.consumer.take_event() == PeerDown(7, True)
    assert harness.consumer.take_event() is None
    assert harness.subscription.stats().filtered == 2
    harness.assert_sum()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([StateChange(1, 2, 3)], r"not the event StateChange\(.*\): write kinds=\[StateChange\]"),
        (StateChange(1, 2, 3), r"a list of event classes, not the event .*kinds=\[StateChange\]"),
        ([Missed(1, 2, "gap")], r"write kinds=\[Missed\]"),
        ("StateChange", r"such as kinds=\[StateChange\], not 'StateChange'"),
        (["StateChange"], r"such as kinds=\[StateChange\], not 'StateChange'"),
        ([None], r"such as kinds=\[StateChange\], not None"),
    ],
)
def test_wrong_kinds_are_named(kinds: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Harness(kinds=kinds)


def test_kinds_of_other_protocols_are_named() -> None:
    with pytest.raises(UnsupportedEvent, match=r"AppEvent in kinds .* fastcoord-1 has it"):
        Harness(kinds=[StateChange, AppEvent])
    Harness(kinds=[Event])


@pytest.mark.parametrize(
    ("options", "delivered"),
    [
        ({}, []),
        ({"connection": True}, [Disconnected("cut"), Reconnected("a:1")]),
        ({"kinds": [Reconnected]}, [Reconnected("a:1")]),
        ({"peers": True}, []),
    ],
)
def test_connection_notices_are_optional(options: dict[str, Any], delivered: list[Notice]) -> None:
    harness = Harness(**options)
    for notice in (Disconnected("cut"), Reconnected("a:1")):
        harness.ring.put_notice(notice)
    taken = []
    while (notice := harness.ring.take_next()) is not None:
        taken.append(notice)
    assert taken == delivered


def test_connection_is_a_bool() -> None:
    with pytest.raises(TypeError, match="connection must be True or False, not int"):
        Harness(connection=1)


def test_last_connection_state_is_kept() -> None:
    assert folded(Disconnected("cut"), Reconnected("a:1"), Disconnected("reset")) == [
        Disconnected("reset")
    ]


def test_empty_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="kinds is empty"):
        Harness(kinds=[])


def test_peers_must_be_boolean() -> None:
    with pytest.raises(TypeError, match="peers must be True or False, not list"):
        Harness(peers=[6])  # type: ignore[arg-type]


def test_kinds_split_events_and_notices() -> None:
    assert split_kinds(None) == (None, [])
    assert split_kinds([StateChange, PeerUp]) == ([StateChange], [PeerUp])
    assert split_kinds(kind for kind in (PeerUp,)) == ([], [PeerUp])


# ---------------------------------------------------------------------------------- folding


def folded(*notices: Any) -> list[Notice]:
    carried: dict[object, Notice] = {}
    for notice in notices:
        fold(carried, notice)
    return list(carried.values())


def test_losses_fold_by_node_and_cause() -> None:
    assert folded(
        Missed(1, 2, "gap"), Missed(2, 3, "gap"), Missed(1, 4, "gap"), Missed(1, 5, "discarded")
    ) == [Missed(1, 6, "gap"), Missed(2, 3, "gap"), Missed(1, 5, "discarded")]


def test_unknown_loss_makes_sum_unknown() -> None:
    for losses in ((None, 4), (4, None), (None, None)):
        missed = [Missed(1, events, "gap") for events in losses]
        assert folded(*missed) == [Missed(1, None, "gap")]


def test_overflows_fold_by_node() -> None:
    assert folded({1: 2, 2: 3}, {2: 4}, Missed(1, 5, "overflow")) == [
        Missed(1, 7, "overflow"),
        Missed(2, 7, "overflow"),
    ]


def test_last_peer_notice_wins() -> None:
    assert folded(PeerUp(1), PeerUp(2), PeerDown(1, False), PeerUp(1), PeerDown(2, True)) == [
        PeerUp(1),
        PeerDown(2, True),
    ]


def test_duplicate_id_is_reported_once() -> None:
    assert folded(DuplicateNodeId(1), DuplicateNodeId(1), DuplicateNodeId(2)) == [
        DuplicateNodeId(1),
        DuplicateNodeId(2),
    ]


def test_disconnect_is_reported_once() -> None:
    absence = Missed(None, None, "disconnect")
    assert folded(absence, absence) == [absence]


def test_other_notices_are_kept() -> None:
    class Other(Notice, frozen=True):
        pass

    assert folded(Other(), Other()) == [Other(), Other()]
