"""``health()``, named subscriptions and stats as plain values, on real servers."""

import json
from typing import Any

import pytest

import fastcoord
from fastcoord import ReloadBlockedIps, ReloadSettings
from fastcoord.server import LocalServer
from support.cluster.accounting import collect
from support.cluster.nodes import joined
from support.cluster.plain_peer import PlainPeer
from support.wait import until

Cluster = dict[str, Any]
FAST: Cluster = {"heartbeat": "100ms"}


async def test_lost_connection_is_unhealthy(server: LocalServer, cluster: Cluster) -> None:
    async with joined(server, 1, cluster=cluster) as node:
        assert node.health()
        assert str(node.health()) == "healthy"
        server.kill()
        await until(lambda: not node.health())
        (reason,) = node.health().reasons
        assert reason.startswith("not connected to a server: ")
        assert len(reason) > len("not connected to a server: ")
        server.restart()
        await until(node.health)


async def test_given_up_connection_is_unhealthy(server: LocalServer, cluster: Cluster) -> None:
    async with joined(server, 1, max_reconnects=0, cluster=cluster) as node:
        server.kill()
        await until(lambda: "the connection is lost" in str(node.health()))
    assert not node.health()
    assert "closed" in str(node.health())


async def test_refused_right_is_unhealthy(cluster: Cluster) -> None:
    users = 'authorization {{ users: [{{user: "a", password: "b", permissions: {}}}] }}'
    with LocalServer(extra_config=users.format("{}")) as server:
        async with joined(server, 1, user="a", password="b", cluster={**cluster, **FAST}) as node:
            await until(node.health)
            server.reload(extra_config=users.format('{publish: {deny: [">"]}}'))
            await until(lambda: "does not permit this user to publish" in str(node.health()))
            server.reload(extra_config=users.format("{}"))
            await until(node.health)


async def test_slow_subscription_is_unhealthy(server: LocalServer, cluster: Cluster) -> None:
    settings = {"capacity": {"subscription": 10}, "cluster": {**cluster, **FAST}}
    async with (
        joined(server, 1, **settings) as receiver,
        joined(server, 2, **settings) as sender,
        receiver.subscribe(name="cache") as events,
    ):
        for _ in range(6):
            await sender.publish(ReloadBlockedIps())
            await sender.flush()
        await until(lambda: receiver.stats().subscriptions[0].buffered_messages == 6)
        await until(lambda: not receiver.health())
        (reason,) = receiver.health().reasons
        assert reason.startswith("the subscription 'cache' has been more than half full for ")
        assert "(6 of 10 messages, " in reason
        await collect(events, 1)
        assert receiver.health()


async def test_short_backlog_is_healthy(shared_server: LocalServer, cluster: Cluster) -> None:
    settings = {"capacity": {"subscription": 10}, "cluster": {**cluster, "heartbeat": "1h"}}
    async with (
        joined(shared_server, 1, **settings) as receiver,
        joined(shared_server, 2, **settings) as sender,
        receiver.subscribe(),
    ):
        for _ in range(8):
            await sender.publish(ReloadBlockedIps())
            await sender.flush()
        await until(lambda: receiver.stats().subscriptions[0].buffered_messages == 8)
        assert receiver.health()


async def test_half_full_subscription_is_healthy(server: LocalServer, cluster: Cluster) -> None:
    settings = {"capacity": {"subscription": 10}, "cluster": {**cluster, **FAST}}
    async with (
        joined(server, 1, **settings) as receiver,
        joined(server, 2, **settings) as sender,
        receiver.subscribe(),
    ):
        for _ in range(5):
            await sender.publish(ReloadBlockedIps())
            await sender.flush()
        await until(lambda: receiver.stats().subscriptions[0].buffered_messages == 5)
        received = receiver.peers()[0].last_heard
        # Several heartbeats pass.
        await until(lambda: receiver.peers()[0].last_heard > received + 0.3)
        assert receiver.health()


async def test_overflow_counts_closed_subscriptions(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    settings = {"capacity": {"subscription": 2}, "cluster": cluster}
    async with joined(shared_server, 1, **settings) as receiver:
        async with (
            joined(shared_server, 2, **settings) as sender,
            receiver.subscribe(name="cache"),
            receiver.subscribe() as other,
        ):
            for _ in range(5):
                await sender.publish(ReloadSettings())
                await sender.flush()
            await until(lambda: other.stats().arrived == 5)
            assert receiver.stats().missed == {"overflow": 6}
        stats = receiver.stats()
        assert (stats.missed, stats.subscriptions) == ({"overflow": 6}, ())
        closed = {each.name: (each.arrived, each.missed) for each in stats.closed_subscriptions}
        assert closed == {"cache": (5, 3), None: (5, 3)}


async def test_names_are_bounded(shared_server: LocalServer, cluster: Cluster) -> None:
    async with joined(shared_server, 1, cluster=cluster) as node:
        for number in range(150):
            node.subscribe(name=f"request {number}").close()
        names = [each.name for each in node.stats().closed_subscriptions]
        assert len(names) == len(set(names)) == 101
        assert names[-1] == "other"
        with pytest.raises(TypeError, match="name must be a string"):
            node.subscribe(name=7)
        with pytest.raises(ValueError, match="name is empty"):
            node.subscribe(name="")


async def test_unknown_losses_are_counted(server: LocalServer) -> None:
    async with joined(server, 1) as node:
        async with PlainPeer(server.url) as peer:
            payload = fastcoord.encode_batch(
                [ReloadSettings()], node_id=9, protocol="stalwart-0.15"
            )
            await peer.publish(payload)
            await until(lambda: node.stats().received == 1)
        server.restart()
        await until(lambda: node.stats().missed_unknown == {"disconnect": 1})
        assert "disconnect" not in node.stats().missed


async def test_stats_become_json(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        joined(shared_server, 1, cluster=cluster) as node,
        joined(shared_server, 2, cluster=cluster),
        node.subscribe(name="x"),
    ):
        await until(node.peers)
        plain = json.loads(json.dumps(node.stats().to_dict()))
        assert plain["subscriptions"][0]["name"] == "x"
        assert set(plain) == set(fastcoord.Stats.__struct_fields__)
        assert json.loads(json.dumps(node.peers()[0].to_dict()))["node_id"] == 2
        assert json.loads(json.dumps(node.health().to_dict())) == {"reasons": []}
