"""Batches and acknowledgements are lost on the way to and from a stream."""

import asyncio
import re
from collections.abc import Callable

import pytest

from fastcoord.server import LocalServer
from support.cluster.plain_peer import PlainPeer
from support.cluster.stream_crowd import (
    STREAM,
    administrator,
    make_stream,
    read_stream,
    stream_crowd,
)
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.wait import until


def is_batch(frame: Frame) -> bool:
    return frame.is_message and b"Nats-Msg-Id" in frame.header


def drop_some(chosen: Callable[[int], bool], counted: Callable[[Frame], bool]) -> object:
    """Return a filter that drops some of the frames that are counted."""
    count = 0

    def filtered(frame: Frame) -> Frame | None:
        nonlocal count
        if not counted(frame):
            return frame
        count += 1
        return None if chosen(count) else frame

    return filtered


async def test_lost_batches_are_stored_in_order(jetstream_server: LocalServer) -> None:
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at = [[proxy], [jetstream_server], [jetstream_server]]
        async with stream_crowd(jetstream_server, at=at) as crowd:
            sender = crowd.nodes[0]
            proxy.to_server.filter = drop_some(lambda count: count % 40 == 17, is_batch)
            async with crowd.load():
                await until(lambda: sender.stats().stream.resent_batches > 20)
            proxy.to_server.filter = None
            await crowd.check()
            # The stream has batches behind their successors, and again in the right place.
            numbers = [n for s, n in await read_stream([jetstream_server]) if s == 1]
            assert numbers != sorted(numbers)
            assert crowd.nodes[1]._session._stream.feed.runs.ahead > 0


async def test_lost_acknowledgements_store_nothing_twice(jetstream_server: LocalServer) -> None:
    acknowledgement = re.compile(rb'\{"stream":"AGORA",')

    def is_acknowledgement(frame: Frame) -> bool:
        return frame.is_message and acknowledgement.match(frame.payload) is not None

    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at = [[proxy], [jetstream_server]]
        async with stream_crowd(jetstream_server, size=2, at=at) as crowd:
            sender = crowd.nodes[0]
            proxy.to_client.filter = drop_some(lambda count: count % 40 == 17, is_acknowledgement)
            async with crowd.load():
                await until(lambda: sender.stats().stream.stored_before > 5)
            proxy.to_client.filter = None
            await crowd.check()
            stored = await read_stream([jetstream_server])
            assert len(stored) == len(set(stored))


async def test_id_that_stays_in_process_is_replaced(jetstream_server: LocalServer) -> None:
    """After a change of the leader, nats-server may refuse an id for the whole duplicate window."""
    refusal = b'{"error":{"code":409,"err_code":10158,"description":"duplicate message id"}}'
    stuck: set[bytes] = set()
    async with (
        Proxy(jetstream_server.host, jetstream_server.port) as proxy,
        PlainPeer(jetstream_server.url) as server,
        stream_crowd(jetstream_server, size=2, at=[[proxy], [jetstream_server]]) as crowd,
    ):

        async def refuse(frame: Frame) -> Frame | None:
            if not is_batch(frame):
                return frame
            (message_id,) = re.findall(rb"Nats-Msg-Id:(\S+)", frame.header)
            if len(stuck) < 3 and message_id.count(b".") == 1:
                stuck.add(message_id)
            if message_id not in stuck:
                return frame
            await server.client.publish(frame.reply, refusal)
            return None

        sender = crowd.nodes[0]
        await crowd.publish(sender)
        await sender.flush()
        proxy.to_server.filter = refuse
        for _ in range(5):
            await crowd.publish(sender, 10)
            await asyncio.sleep(0.02)
        await crowd.check()
        assert len(stuck) == 3
        assert sender.stats().discarded == 0


async def test_acknowledgements_survive_lost_connection(
    jetstream_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Proxy(jetstream_server.host, jetstream_server.port) as proxy,
        stream_crowd(
            jetstream_server, size=2, at=[[proxy], [jetstream_server]], capacity={"batch_bytes": 64}
        ) as crowd,
    ):
        node = crowd.nodes[0]
        sender = node._session.sender
        await crowd.publish(node)
        await node.flush()
        with monkeypatch.context() as patch:
            # The connection is lost in the iteration of the event loop that reads the last
            # acknowledgement, so that this one is processed afterwards.
            patch.setattr(sender, "_process_acknowledgements", lambda: None)
            await crowd.publish(node, 50)
            await until(lambda: sender.acknowledgements.confirmed == 51)
            proxy.cut()
            await until(lambda: not node.is_connected)
        sender._process_acknowledgements()
        await crowd.publish(node, 50)
        await crowd.check()
        assert node.stats().stream.resent_batches == 0


async def test_exceeded_duplicate_window_delivers_once(jetstream_server: LocalServer) -> None:
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at = [[proxy], [jetstream_server]]
        async with stream_crowd(
            jetstream_server,
            size=2,
            at=at,
            stream={"duplicate_window": 1.0},
            cluster={"max_age": "1s", "heartbeat": "2s"},
        ) as crowd:
            sender = crowd.nodes[0]
            await crowd.publish(sender, 10)
            await crowd.settled()
            proxy.to_client.swallow()
            for _ in range(20):
                await crowd.publish(sender, 10)
                await asyncio.sleep(0.01)
            await until(lambda: len(crowd.received[2]) == 210)
            await asyncio.sleep(1.5)
            proxy.to_client.resume()
            proxy.cut()
            await crowd.check()
            stored = await read_stream([jetstream_server])
            assert len(stored) > len(set(stored)) == 210
            assert crowd.nodes[1].stats().stream.duplicates > 0


@pytest.mark.parametrize("batch_bytes", [256, 16384])
async def test_burst_is_stored_once(jetstream_server: LocalServer, batch_bytes: int) -> None:
    capacity = {"batch_bytes": batch_bytes}
    async with stream_crowd(jetstream_server, size=2, capacity=capacity) as crowd:
        for node in crowd.nodes:
            await crowd.publish(node, 20_000)
        await crowd.check()
        stored = await read_stream([jetstream_server])
        assert len(stored) == len(set(stored)) == 40_000


async def test_max_age_applies_while_the_stream_is_gone(jetstream_server: LocalServer) -> None:
    cluster = {"max_age": "1s"}
    async with (
        stream_crowd(jetstream_server, size=1, cluster=cluster) as crowd,
        administrator([jetstream_server]) as jetstream,
    ):
        sender = crowd.nodes[0]
        await jetstream.delete_stream(STREAM)
        await crowd.publish(sender)
        await until(lambda: sender.stats().stream.trouble)
        await crowd.publish(sender, 10)
        await until(lambda: sender.stats().discarded == 10)
        await make_stream([jetstream_server])

        async def is_stored() -> bool:
            # On a busy machine, these events may become too old as well.
            await crowd.publish(sender, 5)
            await until(lambda: not sender.stats().waiting)
            return sender.stats().confirmed > 1

        await until(is_stored)
        stored = [number for _, number in await read_stream([jetstream_server])]
        stats = sender.stats()
        assert stored == sorted(set(stored))
        assert len(stored) == stats.confirmed == stats.accepted - stats.discarded
        assert [number for number in stored if number < 11] == [0]
