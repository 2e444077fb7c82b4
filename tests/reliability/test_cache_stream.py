"""With a stream, a cache keeps its entries in an absence, except those that events name."""

import asyncio
from typing import Any

from fastcoord import StateChange
from fastcoord.cache import Cache
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.plain_peer import PlainPeer
from support.faults.proxy import Proxy
from support.wait import until

SUBJECT = "cached"
CLUSTER = {"subject": SUBJECT, "stream": "CACHED", "heartbeat": "10s"}
"""With this heartbeat, a consumer is not considered lost because the machine is busy."""


async def test_absence_drops_only_named_keys() -> None:
    with LocalServer(jetstream=True) as server:
        async with PlainPeer(server.url) as peer:
            await peer.client.jetstream(timeout=60).add_stream(
                name="CACHED", subjects=[SUBJECT], duplicate_window=120
            )
        rows: dict[int, Any] = dict.fromkeys(range(10), "old")
        loads: list[int] = []

        async def load(key: int) -> Any:
            loads.append(key)
            return rows[key]

        async with (
            Proxy(server.host, server.port) as proxy,
            joined(proxy, 1, cluster=CLUSTER) as node,
            joined(server, 2, cluster=CLUSTER) as writer,
            Cache(node, load, keys=lambda event: [event.account_id]) as cache,
        ):
            for key in rows:
                await cache.get(key)
            proxy.refuse()
            proxy.cut()
            await until(lambda: not cache.stats().is_following)
            assert not node.is_connected
            rows[7] = "new"
            await writer.publish(StateChange(7, 1, 1))
            await writer.flush()
            loads.clear()
            # An entry of which nothing is known is not served.
            assert await cache.get(3) == "old"
            assert loads == [3]
            await proxy.accept()
            await until(lambda: cache.stats().is_following)
            loads.clear()
            assert [await cache.get(key) for key in rows] == list(rows.values())
            assert loads == [7]
            assert cache.stats().drops == {"event": 1}


async def test_lost_consumer_stops_serving() -> None:
    with LocalServer(jetstream=True) as server:
        async with PlainPeer(server.url) as peer:
            jetstream = peer.client.jetstream(timeout=60)
            await jetstream.add_stream(name="CACHED", subjects=[SUBJECT], duplicate_window=120)
            rows = {7: "old"}

            async def load(key: int) -> str:
                return rows[key]

            async def is_served() -> bool:
                assert await cache.get(7) == "old"
                return bool(cache.stats().hits)

            async with (
                joined(server, 1, cluster={**CLUSTER, "heartbeat": "200ms"}) as node,
                Cache(node, load, keys=lambda event: [event.account_id]) as cache,
            ):
                # On a busy machine, the node may consider its consumer lost for a moment.
                await until(is_served)
                await jetstream.delete_stream("CACHED")
                # The connection stays; what is published meanwhile does not arrive.
                await until(lambda: not cache.stats().is_following)
                assert node.is_connected
                rows[7] = "new"
                assert await asyncio.wait_for(cache.get(7), 60) == "new"
                assert cache.stats().hits == 1


async def test_slow_subscription_stops_serving() -> None:
    with LocalServer(jetstream=True) as server:
        async with PlainPeer(server.url) as peer:
            await peer.client.jetstream(timeout=60).add_stream(
                name="CACHED", subjects=[SUBJECT], duplicate_window=120
            )
        rows = {7: "old"}

        async def load(key: int) -> str:
            return rows[key]

        async with (
            joined(server, 1, cluster=CLUSTER, capacity={"subscription": 8}) as node,
            joined(server, 2, cluster=CLUSTER) as writer,
            Cache(node, load, keys=lambda event: [event.account_id]) as cache,
            node.subscribe() as slow,
        ):
            assert await cache.get(7) == "old"
            for key in [*range(100, 120), 7]:
                rows[key] = "new"
                await writer.publish(StateChange(key, 1, 1))
                await writer.flush()
            for _ in range(3):
                # The program is slow, but takes something, so that the node waits for it.
                await until(lambda: slow.take_nowait() is not None)
                assert await cache.get(7) == "new"
            async for event in slow:
                if event.account_id == 7:
                    break
            await until(lambda: cache.stats().is_following)
            assert cache.stats().drops.get("event", 0) <= 1
