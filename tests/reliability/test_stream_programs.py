"""Programs that read slowly or not at all, and questions to all peers of a stream."""

import asyncio
from typing import Any

import pytest

from fastcoord import Missed, PeerDown, PeersUnconfirmed, PeerUp, StateChange
from fastcoord.server import LocalServer
from support.cluster.stream_crowd import stream_crowd
from support.faults.proxy import Proxy
from support.wait import until

SMALL: dict[str, Any] = {"subscription": 16, "batch_bytes": 256}


async def test_slow_program_loses_nothing(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2, capacity=SMALL) as crowd:
        reader, sender = crowd.nodes
        numbers = []
        async with reader.subscribe() as events:
            await crowd.publish(sender, 3000)
            await sender.flush()
            async for event in events:
                assert isinstance(event, StateChange), event
                numbers.append(event.change_id)
                if len(numbers) % 50 == 0:
                    await asyncio.sleep(0.002)
                if len(numbers) == 3000:
                    break
            assert events.stats().missed == 0
        assert numbers == list(range(3000))
        await crowd.check()


async def test_program_that_takes_nothing_holds_up_no_other(
    jetstream_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastcoord.streaming.stuck_rings.STUCK_AFTER", 0.5)
    async with stream_crowd(jetstream_server, size=2, capacity=SMALL) as crowd:
        reader, sender = crowd.nodes
        async with reader.subscribe() as events:
            await crowd.publish(sender, 3000)
            await until(lambda: len(crowd.received[1]) == 3000)
            first = await events.__anext__()
            assert isinstance(first, Missed)
            assert first.cause == "overflow"
            taken, missed = 0, first.events or 0
            while taken + missed < 3000:
                item = await events.__anext__()
                assert isinstance(item, StateChange)
                taken += 1
        assert crowd.received[1] == [(2, number) for number in range(3000)]


async def test_peers_count_streamed_events(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd:
        receiver, sender = crowd.nodes
        await crowd.publish(sender, 1000)
        await until(lambda: len(crowd.received[1]) == 1000)
        (peer,) = receiver.peers()
        assert (peer.node_id, peer.received, peer.missed) == (2, 1000, 0)
        (silent,) = sender.peers()
        assert (silent.node_id, silent.received) == (1, 0)


async def test_peers_confirm_what_the_stream_has(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server) as crowd:
        sender = crowd.nodes[0]
        await until(lambda: sum(peer.is_up is True for peer in sender.peers()) == 2)
        await crowd.publish(sender, 1000)
        assert await sender.flush(peers=True) == frozenset({2, 3})
        assert len(crowd.received[2]) + crowd.nodes[1].stats().subscriptions[0].buffered == 1000


async def test_peers_confirm_no_events(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, timeout={"request": "20s"}) as crowd:
        sender = crowd.nodes[0]
        await until(lambda: sum(peer.is_up is True for peer in sender.peers()) == 2)
        assert await sender.flush(peers=True) == frozenset({2, 3})


async def test_absent_peer_is_not_confirmed(jetstream_server: LocalServer) -> None:
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        at = [[jetstream_server], [proxy], [jetstream_server]]
        options = {"at": at, "timeout": {"request": "1s"}, "cluster": {"heartbeat": "10s"}}
        async with stream_crowd(jetstream_server, **options) as crowd:
            sender = crowd.nodes[0]
            await until(lambda: sum(peer.is_up is True for peer in sender.peers()) == 2)
            proxy.refuse()
            proxy.cut()

            async def is_absent_one_missing() -> bool:
                await crowd.publish(sender, 10)
                with pytest.raises(PeersUnconfirmed) as caught:
                    await sender.flush(peers=True)
                # On a busy machine, others may be late as well.
                return caught.value.missing == {2}

            await until(is_absent_one_missing)
            await proxy.accept()
            await until(lambda: crowd.nodes[1].is_connected)
            await crowd.check()


async def test_peers_are_reported(jetstream_server: LocalServer) -> None:
    async with stream_crowd(jetstream_server, size=2) as crowd:
        reader, other = crowd.nodes
        async with reader.subscribe(peers=True) as events:
            async with crowd.load(200.0):
                await until(lambda: len(crowd.received[1]) > 100)
                await asyncio.sleep(1.0)
            await other.close()
            notices = []
            async for item in events:
                if not isinstance(item, StateChange):
                    notices.append(item)
                    if isinstance(item, PeerDown):
                        break
            assert [item for item in notices if not isinstance(item, PeerUp)] == [PeerDown(2, True)]
