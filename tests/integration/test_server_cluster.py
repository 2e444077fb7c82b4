"""Several local servers with routes between them."""

import pytest

from fastcoord.errors import ServerError
from fastcoord.server import LocalCluster
from support.cluster.plain_peer import PlainPeer
from support.processes.status import exists
from support.wait import until


async def test_cluster_routes_messages() -> None:
    async with LocalCluster(3) as cluster:
        one, _, three = cluster.servers
        assert len(set(cluster.urls)) == 3
        async with PlainPeer(one.url) as sender, PlainPeer(three.url) as receiver:
            await until(lambda: one.monitor("subsz")["num_subscriptions"] >= 2)
            await until(lambda: _published(sender, receiver))
        pids = [server.pid for server in cluster.servers]
    assert not any(exists(pid) for pid in pids)


@pytest.mark.parametrize("index", [0, 2], ids=["first", "last"])
def test_restarted_server_rejoins(index: int) -> None:
    with LocalCluster(3) as cluster:
        cluster.servers[index].kill()
        cluster.wait_for_routes()
        cluster.servers[index].restart()
        cluster.wait_for_routes()
        assert all(server.monitor("routez")["num_routes"] >= 2 for server in cluster.servers)


def test_missing_route_is_reported() -> None:
    with LocalCluster(2) as cluster:
        other = cluster.servers[1]
        assert other.settings.membership is not None
        other.settings.membership.cluster_name = "another"
        other.restart()
        cluster.start_timeout = 1.0
        with pytest.raises(ServerError, match=r"no route to 1 of the 1 other servers after 1 s"):
            cluster.wait_for_routes()


async def test_second_start_is_refused() -> None:
    with LocalCluster(2) as cluster:
        cluster.servers[0].kill()
        with pytest.raises(ServerError, match="local-2 is running already"):
            cluster.start()
        with pytest.raises(ServerError, match="local-2 is running already"):
            await cluster.start_async()
        assert cluster.servers[1].is_running


def test_failed_cluster_stops_servers() -> None:
    cluster = LocalCluster(2, extra_config="nonsense: 1")
    with pytest.raises(ServerError):
        cluster.start()
    assert not any(server.is_running for server in cluster.servers)


def test_empty_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one server"):
        LocalCluster(0)


async def _published(sender: PlainPeer, receiver: PlainPeer) -> bool:
    await sender.publish(b"x")
    await receiver.flush()
    return bool(receiver.messages)
