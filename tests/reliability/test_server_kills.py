"""Servers are killed without warning: every event is delivered once or reported as missed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fastcoord.server import LocalCluster, LocalServer
from support.cluster.crowd import crowd
from support.scale import repeats
from support.wait import until

KILLS = repeats(4, long=20)
PATIENT: dict[str, Any] = {"heartbeat": "2s"}
"""With this, a node waits long enough for the others to reconnect on a busy machine too."""
SMALL: dict[str, Any] = {"client": 4, "batch_bytes": 256}


@pytest.fixture
def three_servers() -> Iterator[LocalCluster]:
    with LocalCluster(3) as cluster:
        yield cluster


@pytest.mark.slow
@pytest.mark.parametrize("heartbeat", ["200ms", "2s"])
async def test_server_kills_are_accounted(
    server: LocalServer, record_property: Any, heartbeat: str
) -> None:
    # With 2 s a node waits for the others to reconnect. With 200 ms it does not wait so long, and
    # the others miss what it sends meanwhile. Both must be accounted for exactly.
    async with crowd(server, cluster={"heartbeat": heartbeat}) as nodes:
        async with nodes.load():
            await nodes.progress()
            for _ in range(KILLS):
                server.kill()
                await until(lambda: not any(node.is_connected for node in nodes.nodes))
                await nodes.published(100)
                await server.start_async()
                await until(lambda: nodes.is_connected)
                await nodes.progress()
        await nodes.even()
        assert [node.stats().reconnects >= KILLS for node in nodes.nodes] == [True] * 3
        report(nodes.ledger, record_property)


@pytest.mark.slow
async def test_cluster_kills_are_accounted(
    three_servers: LocalCluster, record_property: Any
) -> None:
    servers = three_servers.servers
    async with crowd([servers] * 3) as nodes:
        async with nodes.load():
            await nodes.progress()
            for number in range(repeats(3, long=12)):
                server = servers[number % 3]
                server.kill()
                await nodes.published(100)
                await until(lambda: nodes.is_connected)
                await nodes.progress()
                await server.start_async()
                await asyncio.to_thread(three_servers.wait_for_routes)
        await nodes.even()
        assert sum(node.stats().reconnects for node in nodes.nodes) >= 3
        report(nodes.ledger, record_property)


async def test_short_outage_loses_nothing(server: LocalServer) -> None:
    async with crowd(server, cluster=PATIENT) as nodes:
        server.kill()
        await until(lambda: not any(node.is_connected for node in nodes.nodes))
        for node in nodes.nodes:
            await nodes.ledger.publish(node, 1000)
        await server.start_async()
        await nodes.even()
        assert nodes.ledger.missed() == {}


async def test_max_age_discards_events(server: LocalServer) -> None:
    async with crowd(server, cluster={**PATIENT, "max_age": "1s"}) as nodes:
        first, second, third = nodes.nodes
        server.kill()
        await until(lambda: not any(node.is_connected for node in nodes.nodes))
        await nodes.ledger.publish(first, 700)
        await nodes.ledger.publish(second, 30)
        await until(lambda: first.stats().discarded == 700 and second.stats().discarded == 30)
        await nodes.ledger.publish(first, 5)
        assert first.stats().waiting == 5
        await server.start_async()
        await until(lambda: nodes.is_connected)
        await nodes.ledger.publish(first, 10)
        await nodes.even()
        # On a busy machine the events published later may have become too old as well.
        discarded = first.stats().discarded
        assert 700 <= discarded <= 715
        assert third.stats().discarded == 0
        # The events are not held longer than their age allows: a node that reconnects late misses
        # what was sent before, and that is reported as a gap.
        missed = nodes.ledger.missed()
        assert {pair: causes["discarded"] for pair, causes in missed.items()} == {
            (1, 2): 30,
            (2, 1): discarded,
            (3, 1): discarded,
            (3, 2): 30,
        }
        assert all(causes.get("gap", 0) <= 15 for causes in missed.values())


async def test_full_queue_discards_events(
    server: LocalServer,
) -> None:
    async with crowd(server, cluster=PATIENT, capacity=SMALL) as nodes:
        first = nodes.nodes[0]
        server.kill()
        await until(lambda: not any(node.is_connected for node in nodes.nodes))
        nodes.ledger.publish_nowait(first, 1000)
        stats = first.stats()
        assert stats.discarded > 900
        assert stats.waiting == 1000 - stats.discarded
        await server.start_async()
        await nodes.even()
        gone = {"discarded": first.stats().discarded}
        assert gone == {"discarded": stats.discarded}
        assert nodes.ledger.missed() == {(2, 1): gone, (3, 1): gone}


async def test_publish_waits_during_outage(
    server: LocalServer,
) -> None:
    async with crowd(server, cluster=PATIENT, capacity=SMALL) as nodes:
        first = nodes.nodes[0]
        server.kill()
        await until(lambda: not any(node.is_connected for node in nodes.nodes))
        publishing = asyncio.create_task(nodes.ledger.publish(first, 1000))
        await until(lambda: first.stats().waiting_batches == 4)
        accepted = first.stats().accepted
        assert 0 < accepted < 100
        await until(lambda: first.stats().accepted == accepted)
        assert not publishing.done()
        await server.start_async()
        await publishing
        await nodes.even()
        assert first.stats().discarded == 0
        assert nodes.ledger.missed() == {}


async def test_cancelled_publish_keeps_whole_events(
    server: LocalServer,
) -> None:
    async with crowd(server, 2, cluster=PATIENT, capacity=SMALL) as nodes:
        first = nodes.nodes[0]
        server.kill()
        await until(lambda: not any(node.is_connected for node in nodes.nodes))
        publishing = asyncio.create_task(nodes.ledger.publish(first, 1000))
        await until(lambda: first.stats().waiting_batches == 4)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        nodes.ledger.sent[1] = first.stats().accepted
        await server.start_async()
        await nodes.ledger.publish(first, 100)
        await nodes.even()
        assert nodes.ledger.missed() == {}


def report(ledger: Any, record_property: Any) -> None:
    record_property("delivered_share", ledger.share)
    print(f"delivered {ledger.share:.4%}; missed {ledger.missed()}\n{ledger.table()}")
