"""A server whose storage for streams is full."""

from pathlib import Path

import pytest
from nats.js import JetStreamContext

import fastcoord
from fastcoord.cli.administrator import Administrator
from fastcoord.server import LocalServer
from fastcoord.streaming.settings import stream_settings
from support.cluster.nodes import node_toml, patiently_connected
from support.cluster.plain_peer import PlainPeer
from support.wait import until

EVENT = fastcoord.AppEvent(1, bytes(10_000))


async def test_full_storage_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with LocalServer(jetstream=True, max_file_storage=1 << 20) as server:
        cluster = {"protocol": "fastcoord-1", "stream": "S", "heartbeat": "300ms"}
        config = fastcoord.parse_config(
            node_toml(server, cluster=cluster, timeout={"request": "1s"})
        )
        async with Administrator(config) as admin:
            await admin.jetstream.create_stream(stream_settings(config, max_bytes=-1))
        async with await patiently_connected(config) as node:
            await fill(node)
            with pytest.raises(fastcoord.RequestTimeout, match=r"\(error 10023\): the storage of"):
                await node.flush()
            assert "the stream S: JetStream: insufficient resources" in str(node.health())
            stats = node.stats()
            assert (stats.waiting, stats.discarded) == (1, 0)
            async with PlainPeer(server.url) as peer:
                await free(peer.client.jetstream(timeout=60))
            await until(lambda: node.stats().waiting == 0)
            assert node.health()
            assert node.stats().confirmed == node.stats().accepted
    assert caplog.text.count("does not accept events") == 1


async def fill(node: fastcoord.Node) -> None:
    """Publish until the server refuses an event."""

    def is_refused() -> bool:
        stream = node.stats().stream
        assert stream is not None
        return "insufficient resources" in (stream.trouble or "")

    while not is_refused():
        await node.publish(EVENT)
        await until(lambda: not node.stats().waiting or is_refused())


async def free(jetstream: JetStreamContext) -> None:
    await jetstream.purge_stream("S")
