"""A stream is restored from a backup, and grows beyond what a node has received."""

import shutil
from pathlib import Path

from fastcoord import Missed, Node
from fastcoord.server import LocalServer
from support.cluster.stream_crowd import StreamCrowd, read_stream, stream_crowd
from support.faults.proxy import Proxy
from support.wait import until


async def publish_each(crowd: StreamCrowd, sender: Node, count: int) -> None:
    """Publish events, each in a message of its own."""
    for _ in range(count):
        await crowd.publish(sender)
        await sender.flush()


async def test_restored_stream_is_reported(jetstream_server: LocalServer, tmp_path: Path) -> None:
    server, backup = jetstream_server, tmp_path / "backup"
    async with (
        Proxy(server.host, server.port) as proxy,
        stream_crowd(server, size=2, at=[[proxy], [server]]) as crowd,
    ):
        away, sender = crowd.nodes
        await publish_each(crowd, sender, 5)
        await crowd.settled()
        server.kill()
        store = files(server)
        shutil.copytree(store, backup)
        await server.start_async()
        await publish_each(crowd, sender, 5)
        await crowd.settled()
        proxy.refuse()
        proxy.cut()
        server.kill()
        shutil.rmtree(store)
        shutil.copytree(backup, store)
        await server.start_async()
        # Event 9 is the last one that the node has received, and message 10 of the old stream.
        await publish_each(crowd, sender, 10)
        assert len(await read_stream([server])) > 10
        await proxy.accept()
        await until(lambda: away.is_connected)
        await publish_each(crowd, sender, 3)
        await crowd.settled()
        assert crowd.missed[1] == [Missed(None, None, "retention", None)]
        numbers = [number for _, number in crowd.received[1]]
        assert numbers == sorted(set(numbers))
        assert numbers[-3:] == [20, 21, 22]


def files(server: LocalServer) -> Path:
    """Return the directory in which a server stores its streams."""
    directory = server._directory
    assert directory is not None
    return directory / "jetstream"
