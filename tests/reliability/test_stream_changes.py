"""The stream changes under its nodes: leaders, consumers, purges, deletion, a full disk."""

import asyncio
import contextlib
from collections import Counter
from itertools import pairwise
from typing import Any

import nats
import pytest

from fastcoord import Missed
from fastcoord.server import LocalCluster, LocalServer
from support.cluster.stream_crowd import (
    STREAM,
    SUBJECT,
    Numbered,
    administrator,
    in_order,
    make_stream,
    read_stream,
    stream_crowd,
)
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.wait import until

RETENTION = "retention"


async def request(jetstream: Any, operation: str, body: bytes = b"") -> None:
    await jetstream._nc.request(f"$JS.API.{operation}", body, timeout=10)


async def test_leader_changes_lose_nothing(shared_jetstream_cluster: LocalCluster) -> None:
    servers = shared_jetstream_cluster.servers
    async with (
        stream_crowd(servers, stream={"num_replicas": 3}) as crowd,
        administrator(servers) as jetstream,
    ):
        try:
            async with crowd.stalwart(), crowd.load(1000.0):
                for _ in range(3):
                    count = len(crowd.received[1])
                    # There is no answer while the stream has no leader.
                    with contextlib.suppress(nats.errors.TimeoutError):
                        await request(jetstream, f"STREAM.LEADER.STEPDOWN.{STREAM}")
                    await until(lambda count=count: len(crowd.received[1]) > count + 200)
            await crowd.check()
        finally:
            await jetstream.delete_stream(STREAM)


async def test_removed_consumers_are_made_again(jetstream_server: LocalServer) -> None:
    async with (
        stream_crowd(jetstream_server) as crowd,
        administrator([jetstream_server]) as jetstream,
    ):
        async with crowd.load():
            for _ in range(3):
                count = len(crowd.received[1])
                await until(lambda count=count: len(crowd.received[1]) > count + 200)
                for consumer in await jetstream.consumers_info(STREAM):
                    await jetstream.delete_consumer(STREAM, consumer.name)
        await crowd.check()
        assert all(node.stats().stream.consumers_made >= 3 for node in crowd.nodes)


async def test_lost_request_is_repeated(jetstream_server: LocalServer) -> None:
    lost = 0

    def lose_one(frame: Frame) -> Frame | None:
        nonlocal lost
        if lost or frame.subject != f"$JS.API.STREAM.INFO.{STREAM}":
            return frame
        lost += 1
        return None

    # Nodes would wait ten minutes for the answer to their first request.
    timeout = {"request": "10m"}
    async with (
        Proxy(jetstream_server.host, jetstream_server.port) as proxy,
        stream_crowd([jetstream_server], at=[[proxy]], size=1, timeout=timeout) as crowd,
        administrator([jetstream_server]) as jetstream,
    ):
        proxy.to_server.filter = lose_one
        for consumer in await jetstream.consumers_info(STREAM):
            await jetstream.delete_consumer(STREAM, consumer.name)
        stream = crowd.nodes[0].stats().stream
        await until(lambda: crowd.nodes[0].stats().stream.consumers_made > stream.consumers_made)
        assert lost == 1


@pytest.mark.parametrize("operation", ["STREAM.INFO", "CONSUMER.CREATE"])
async def test_lost_request_of_connect_is_repeated(
    jetstream_server: LocalServer, operation: str
) -> None:
    lost = 0

    def lose_one(frame: Frame) -> Frame | None:
        nonlocal lost
        if lost or not frame.subject.startswith(f"$JS.API.{operation}.{STREAM}"):
            return frame
        lost += 1
        return None

    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        proxy.to_server.filter = lose_one
        timeout = {"request": "10m"}
        async with stream_crowd(
            [jetstream_server], at=[[proxy], [proxy]], size=2, timeout=timeout
        ) as crowd:
            await crowd.publish(crowd.nodes[0], 3)
            await crowd.check()
        assert lost == 1


async def test_requests_without_success_become_rare(
    jetstream_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastcoord.streaming.pull_consumer.LONGEST_WAIT", 0.5)
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    def note(frame: Frame) -> Frame:
        if frame.subject == f"$JS.API.STREAM.INFO.{STREAM}":
            asked.append(loop.time())
        return frame

    async with (
        Proxy(jetstream_server.host, jetstream_server.port) as proxy,
        stream_crowd([jetstream_server], at=[[proxy]], size=1),
        administrator([jetstream_server]) as jetstream,
    ):
        opened_at = loop.time()
        await until(lambda: loop.time() - opened_at > 1.0)
        proxy.to_server.filter = note
        await jetstream.delete_stream(STREAM)
        # The shortest wait is 25 to 50 ms.
        await until(lambda: any(after - before > 0.24 for before, after in pairwise(asked)))


async def test_purge_behind_nodes_loses_nothing(jetstream_server: LocalServer) -> None:
    async with (
        stream_crowd(jetstream_server) as crowd,
        administrator([jetstream_server]) as jetstream,
    ):
        async with crowd.load():
            await until(lambda: len(crowd.received[1]) > 500)
        await crowd.settled()
        received = {node: list(events) for node, events in crowd.received.items()}
        await jetstream.purge_stream(STREAM)
        async with crowd.load():
            await until(lambda: len(crowd.received[1]) > len(received[1]) + 500)
        await crowd.settled()
        for node in crowd.nodes:
            assert crowd.missed[node.node_id] == []
            for other in crowd.nodes:
                if other is not node:
                    numbers = [
                        number
                        for sender, number in crowd.received[node.node_id]
                        if sender == other.node_id
                    ]
                    assert numbers == list(range(crowd.sent[other.node_id]))


async def test_purge_before_absent_node_is_reported(jetstream_server: LocalServer) -> None:
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at = [[proxy], [jetstream_server]]
        async with (
            stream_crowd(jetstream_server, size=2, at=at) as crowd,
            administrator([jetstream_server]) as jetstream,
        ):
            away, sender = crowd.nodes
            await crowd.publish(sender, 10)
            await crowd.settled()
            proxy.refuse()
            proxy.cut()
            await until(lambda: not away.is_connected)
            for _ in range(7):
                await crowd.publish(sender, 3)
                await sender.flush()
            await jetstream.purge_stream(STREAM)
            await crowd.publish(sender, 5)
            await sender.flush()
            await proxy.accept()
            await until(lambda: len(crowd.received[1]) >= 15)
            assert crowd.missed[1] == [Missed(None, None, RETENTION, 7)]
            assert crowd.received[1] == [(2, n) for n in [*range(10), *range(31, 36)]]
            assert away.stats().stream.missed_messages == 7


async def test_deleted_stream_is_used_again(jetstream_server: LocalServer) -> None:
    async with (
        stream_crowd(jetstream_server) as crowd,
        administrator([jetstream_server]) as jetstream,
    ):
        async with crowd.load():
            await until(lambda: len(crowd.received[1]) > 500)
        await crowd.settled()
        before = {node: len(events) for node, events in crowd.received.items()}
        await jetstream.delete_stream(STREAM)
        for node in crowd.nodes:
            await crowd.publish(node, 10)
        await until(lambda: all(node.stats().stream.trouble for node in crowd.nodes))
        await make_stream([jetstream_server])
        async with crowd.load():
            await until(lambda: len(crowd.received[1]) > before[1] + 500)
        # A node whose consumer was deleted in silence detects it after three heartbeats.
        await until(lambda: all(crowd.missed.values()))
        await crowd.settled()
        stored = await read_stream([jetstream_server])
        for node in crowd.nodes:
            own = node.node_id
            assert crowd.missed[own] == [Missed(None, None, RETENTION, None)]
            assert node.stats().confirmed == crowd.sent[own]
            # `Missed` covers what was stored in the wrong order when the stream was made anew.
            received = crowd.received[own][before[own] :]
            start = Counter({sender: first(received, sender) for sender in crowd.sent})
            stored_after = [each for each in stored if each[0] != own]
            assert received == in_order(stored_after, start)


def first(events: list[Numbered], sender: int) -> int:
    return min((number for each, number in events if each == sender), default=0)


async def test_lower_message_limit_splits_batches(jetstream_server: LocalServer) -> None:
    async with (
        stream_crowd(jetstream_server, size=2) as crowd,
        administrator([jetstream_server]) as jetstream,
    ):
        sender = crowd.nodes[0]
        await crowd.publish(sender, 3)
        await crowd.settled()
        settings = (await jetstream.stream_info(STREAM)).config
        settings.max_msg_size = 700
        await jetstream.update_stream(settings)
        await crowd.publish(sender, 500)
        await crowd.check()


async def test_full_disk_delays_events() -> None:
    with LocalServer(jetstream=True, max_file_storage=1 << 20) as server:
        async with stream_crowd(server) as crowd, administrator([server]) as jetstream:
            sender = crowd.nodes[0]

            async def fill() -> None:
                while True:
                    await crowd.publish(sender, 1000)
                    await asyncio.sleep(0)

            filling = asyncio.create_task(fill())
            await until(lambda: sender.stats().stream.trouble)
            filling.cancel()
            await asyncio.wait({filling})
            crowd.sent[1] = sender.stats().accepted
            assert "insufficient resources" in sender.stats().stream.trouble
            while sender.stats().waiting:
                await crowd.caught_up()
                await jetstream.purge_stream(STREAM)
                await asyncio.sleep(0.2)
            await crowd.settled()
            for node in crowd.nodes[1:]:
                assert crowd.missed[node.node_id] == []
                assert crowd.received[node.node_id] == [(1, n) for n in range(crowd.sent[1])]


async def test_stalwart_receives_events(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd, crowd.stalwart() as stalwart:
        await crowd.publish(crowd.nodes[0], 100)
        await crowd.nodes[0].flush()
        await until(lambda: stalwart.events >= 100)
        assert stalwart.subject == SUBJECT
