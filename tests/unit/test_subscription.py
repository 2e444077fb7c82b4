"""A subscription without a node: waiting, ending and stats."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest

import fastcoord
from fastcoord import (
    ConnectionLost,
    Missed,
    ReloadSettings,
    StateChange,
    SubscriptionError,
    WrongLoop,
)
from fastcoord._awaitable import Waiter
from fastcoord.receiving.iteration import Steps
from fastcoord.receiving.subscription import Subscription
from support.receiving.receiving_side import PROTOCOL
from support.receiving.subscription_harness import SubscriptionHarness as Harness
from support.wait import until


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


async def test_kept_results_are_not_overwritten() -> None:
    """A program may step an awaitable itself, and keep the StopIteration that has the result."""
    harness = Harness()
    for number in range(3):
        harness.put(change(number))
    kept = []
    for _ in range(3):
        with pytest.raises(StopIteration) as stop:
            next(harness.subscription.__anext__())
        kept.append(stop.value)
    assert [each.value for each in kept] == [change(0), change(1), change(2)]
    harness.put(change(3))
    assert await take(harness.subscription) == change(3)


async def test_waiting_task_keeps_no_event() -> None:
    harness = Harness()
    harness.put(change(1))
    event = await take(harness.subscription)
    task = asyncio.create_task(take(harness.subscription))
    await is_waiting(harness)
    # Two references: the variable, and the argument of the call.
    assert sys.getrefcount(event) <= 2
    harness.put(change(2))
    assert await task == change(2)


@pytest.mark.parametrize("iterate", [aiter, Subscription.batches])
async def test_iteration_keeps_subscription(iterate: Any) -> None:
    """Until it ends; then at once, because no reference cycle waits for the garbage collector."""
    gc.disable()
    try:
        harness = Harness()
        ring = harness.ring
        harness.put(change(1))
        iterator = iterate(harness.subscription)
        harness.release()
        assert str(change(1)) in str(await anext(iterator))
        waiting = iterator.__anext__()
        waiting.send(None)
        waiting.close()
        assert not ring.is_closed
        with pytest.warns(ResourceWarning, match="without close"):
            del iterator, waiting
        assert ring.is_closed
        assert harness.closed == [ring]
    finally:
        gc.enable()


async def test_unreferenced_subscription_is_closed() -> None:
    gc.disable()
    try:
        harness = Harness()
        ring = harness.ring
        harness.put(change(1))
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


async def test_iteration_runs_no_python_code() -> None:
    # The interpreter calls the C function of a final class; a Python subclass needs a lookup for
    # each event.
    harness = Harness()
    for iterator in (aiter(harness.subscription), harness.subscription.batches()):
        assert type(iterator).__module__ == "fastcoord.receiving.iteration"


def test_iteration_needs_subscription() -> None:
    # Compiled code does not check for None, and would crash.
    steps: Any = Steps
    for arguments in ((), (None, False)):
        with pytest.raises(TypeError):
            steps.__new__(steps, *arguments)
