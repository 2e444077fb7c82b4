"""An event leaves within the call of ``publish`` when the node is idle."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

import fastcoord
from fastcoord import ReloadSettings, StateChange
from fastcoord.publishing.batch_writer import IDLE_SECONDS
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.cluster.stream_crowd import PROTOCOL, STREAM, make_stream
from support.wait import until


async def test_lone_event_leaves_in_the_call(server: LocalServer) -> None:
    async with fastcoord.connect(fastcoord.parse_config(node_toml(server))) as node:
        await node.flush()
        before = node.stats()
        node.publish_nowait(StateChange(1, 2, 3))
        # No await in between: the event loop has not run.
        assert node.stats().sent_batches == before.sent_batches + 1
        assert node.stats().sent_bytes > before.sent_bytes


async def test_unconfirmed_event_delays_nothing(server: LocalServer) -> None:
    async with fastcoord.connect(fastcoord.parse_config(node_toml(server))) as node:
        await node.flush()
        before = node.stats()
        node.publish_nowait(StateChange(1, 2, 3))
        time.sleep(2 * IDLE_SECONDS)  # noqa: ASYNC251 - the event loop must not run
        # The event loop has not run, so that nothing is confirmed.
        node.publish_nowait(StateChange(1, 3, 3))
        assert node.stats().confirmed == before.confirmed
        assert node.stats().sent_batches == before.sent_batches + 2


@pytest.mark.parametrize("count", [1, 30_000])
async def test_finalizer_overtakes_no_event(server: LocalServer, count: int) -> None:
    """The garbage collector may run while a batch is written that the window has already."""
    threshold = gc.get_threshold()
    try:
        async with (
            joined(server, 1) as sender,
            joined(server, 2) as receiver,
            receiver.subscribe() as events,
        ):
            await sender.flush(peers=True)
            published = 0

            class Lease:
                def __init__(self) -> None:
                    self.cycle = self

                def __del__(self) -> None:
                    nonlocal published
                    time.sleep(2 * IDLE_SECONDS)
                    # Many events fill batches, which are sent without waiting for the event loop.
                    sender.publish_nowait(*[StateChange(2, 0, 0)] * count)
                    published += count

            gc.collect()
            gc.freeze()
            for allocations in range(1, 20):
                await sender.flush()
                gc.set_threshold(0)
                gc.collect()
                Lease()
                time.sleep(2 * IDLE_SECONDS)  # noqa: ASYNC251 - the event loop must not run
                gc.set_threshold(allocations)
                sender.publish_nowait(StateChange(1, 0, 0))
                gc.set_threshold(0)
                published += 1
                gc.collect()
            await sender.flush()
            received = {type(await anext(events)) for _ in range(published)}
            assert received == {StateChange}
            assert receiver.stats().late == 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


async def test_burst_leaves_in_one_message(server: LocalServer) -> None:
    async with joined(server, 1) as node:
        await node.publish(ReloadSettings())
        await node.flush()
        server.freeze()
        try:
            before = node.stats().sent_batches
            for number in range(20):
                time.sleep(2 * IDLE_SECONDS)  # noqa: ASYNC251 - the event loop must not run
                await node.publish(StateChange(1, number, 0))
                await node.publish(StateChange(2, number, 0))
                await asyncio.sleep(0)
            # The first event leaves alone, because nothing was unconfirmed. Others may, too, if the
            # process is paused between two calls: then they do not come in a burst.
            assert 2 <= node.stats().sent_batches - before < 30
        finally:
            server.thaw()


async def sent_by_busy_loop(node: fastcoord.Node) -> int:
    """Return how many messages a hundred events take that are published without a pause."""
    # With a stream, the first event of a connection must be acknowledged before others are sent.
    await node.publish(StateChange(1, 0, 3))
    await node.flush()
    before = node.stats().sent_batches
    for number in range(100):
        node.publish_nowait(StateChange(1, number, 3))
    await node.flush()
    return node.stats().sent_batches - before


async def test_busy_loop_still_batches(server: LocalServer) -> None:
    async with fastcoord.connect(fastcoord.parse_config(node_toml(server))) as node:
        # One within the first call and one for all others; more if the process is paused meanwhile.
        assert 2 <= await sent_by_busy_loop(node) < 12


async def test_busy_loop_batches_for_stream() -> None:
    with LocalServer(jetstream=True) as server:
        await make_stream([server])
        async with joined(server, 1, cluster={"stream": STREAM, "protocol": PROTOCOL}) as node:
            assert 2 <= await sent_by_busy_loop(node) < 12


async def test_list_leaves_in_one_message(server: LocalServer) -> None:
    async with fastcoord.connect(fastcoord.parse_config(node_toml(server))) as node:
        await node.flush()
        before = node.stats().sent_batches
        await node.publish_many([StateChange(1, 2, 3), ReloadSettings(), StateChange(4, 5, 6)])
        assert node.stats().sent_batches == before + 1


async def test_order_holds_between_both_ways(server: LocalServer) -> None:
    config = fastcoord.parse_config(node_toml(server))
    async with (
        fastcoord.connect(config, node_id=1) as sender,
        fastcoord.connect(config, node_id=2) as receiver,
        receiver.subscribe() as events,
    ):
        for number in range(200):
            await sender.publish(StateChange(1, number, 0))
            if number % 7 == 0:
                await asyncio.sleep(0)
            if number % 50 == 0:
                await sender.flush()
        received = [await anext(events) for _ in range(200)]
        assert [event.change_id for event in received] == list(range(200))  # type: ignore[union-attr]


async def test_event_waits_while_disconnected(server: LocalServer) -> None:
    async with fastcoord.connect(fastcoord.parse_config(node_toml(server))) as node:
        await node.flush()
        server.kill()
        await until(lambda: not node.is_connected)
        node.publish_nowait(StateChange(1, 2, 3))
        assert node.stats().waiting == 1
        server.start()
        await node.flush()
        assert node.stats().confirmed == node.stats().accepted
