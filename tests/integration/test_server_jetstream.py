"""JetStream on one local server and on a cluster of three."""

from typing import Any

import nats.errors
import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError

from fastcoord.errors import ServerError
from fastcoord.server import LocalCluster, LocalServer
from support.cluster.plain_peer import PlainPeer
from support.wait import until


def jetstream(peer: PlainPeer) -> JetStreamContext:
    return peer.client.jetstream(timeout=60)


async def fill(peer: PlainPeer) -> None:
    for _ in range(20):
        await jetstream(peer).publish("a", bytes(100_000))


async def stored(server: LocalServer, stream: str) -> int:
    async with PlainPeer(server.url) as peer:
        state = (await jetstream(peer).stream_info(stream)).state
        return int(state.messages)


@pytest.mark.parametrize("again", ["kill", "restart"])
async def test_restart_keeps_streams(jetstream_server: LocalServer, again: str) -> None:
    async with PlainPeer(jetstream_server.url) as peer:
        await jetstream(peer).add_stream(name="S", subjects=["a"])
        for _ in range(3):
            await jetstream(peer).publish("a", b"x")
        getattr(jetstream_server, again)()
    if not jetstream_server.is_running:
        jetstream_server.start()
    assert await stored(jetstream_server, "S") == 3


def test_stop_removes_streams(jetstream_server: LocalServer) -> None:
    directory = jetstream_server._directory
    assert directory is not None
    assert (directory / "jetstream").is_dir()
    jetstream_server.stop()
    assert not directory.exists()


@pytest.mark.parametrize(
    ("storage", "limit"),
    [("file", {"max_file_storage": 1 << 20}), ("memory", {"max_memory_storage": 1 << 20})],
)
async def test_full_storage_refuses_messages(storage: Any, limit: dict[str, int]) -> None:
    with LocalServer(jetstream=True, **limit) as server:
        async with PlainPeer(server.url) as peer:
            await jetstream(peer).add_stream(name="S", subjects=["a"], storage=storage)
            with pytest.raises(APIError, match=r"insufficient resources|limits exceeded"):
                await fill(peer)
            assert 8 <= await stored(server, "S") <= 11


async def test_cluster_replicates_streams() -> None:
    async with LocalCluster(3, jetstream=True) as cluster:
        first = cluster.servers[0]
        async with PlainPeer(first.url) as peer:
            await jetstream(peer).add_stream(name="S", subjects=["a"], num_replicas=3)
            await jetstream(peer).publish("a", b"x")
            leader = (await jetstream(peer).stream_info("S")).cluster.leader
        (killed,) = [server for server in cluster.servers if server.settings.name == leader]
        killed.kill()
        cluster.wait_for_jetstream()
        other = next(server for server in cluster.servers if server.is_running)
        async with PlainPeer(other.url) as peer:
            await until(lambda: _publish(peer), because="the stream has another leader")
            assert (await jetstream(peer).stream_info("S")).state.messages >= 2
        killed.restart()
        cluster.wait_for_jetstream()
        async with PlainPeer(killed.url) as peer:
            replicas = (await jetstream(peer).stream_info("S")).cluster.replicas
        assert len(replicas) == 2


def test_minority_has_no_jetstream() -> None:
    with LocalCluster(3, jetstream=True) as cluster:
        for server in cluster.servers[1:]:
            server.kill()
        cluster.start_timeout = 0.5
        with pytest.raises(ServerError, match=r"local-1 does not.*a majority of the servers"):
            cluster.wait_for_jetstream()


async def _publish(peer: PlainPeer) -> bool:
    try:
        await peer.client.jetstream(timeout=1).publish("a", b"x")
    except nats.errors.Error:
        return False
    return True
