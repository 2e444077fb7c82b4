"""The connection of a node is lost while it joins a stream."""

import pytest

from fastcoord import ConnectionLost, ConnectTimeout
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.stream_crowd import STREAM, make_stream
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.wait import until


def cut_at(proxy: Proxy, operation: str, *, for_good: bool = False) -> None:
    """Cut the connection when the node sends a request for the first time."""

    def cut(frame: Frame) -> Frame | None:
        if not frame.subject.startswith(f"$JS.API.{operation}.{STREAM}"):
            return frame
        proxy.to_server.filter = None
        proxy.cut()
        if for_good:
            proxy.refuse()
        return None

    proxy.to_server.filter = cut


@pytest.mark.parametrize("operation", ["STREAM.INFO", "CONSUMER.CREATE", "CONSUMER.MSG.NEXT"])
async def test_cut_delays_connect(jetstream_server: LocalServer, operation: str) -> None:
    await make_stream([jetstream_server])
    # The node would wait ten minutes for the answer to the lost request.
    settings = {
        "cluster": {"stream": STREAM, "heartbeat": "200ms"},
        "timeout": {"connection": "1m", "request": "10m"},
    }
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        cut_at(proxy, operation)
        async with joined(proxy, 1, **settings) as node:
            await until(lambda: node.stats().stream.is_receiving)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"timeout": {"request": "500ms"}}, ConnectTimeout),
        ({"max_reconnects": 1, "timeout": {"request": "10m"}}, ConnectionLost),
    ],
)
async def test_cut_for_good_ends_connect(
    jetstream_server: LocalServer, settings: dict[str, object], error: type[Exception]
) -> None:
    await make_stream([jetstream_server])
    async with Proxy(jetstream_server.host, jetstream_server.port) as proxy:
        cut_at(proxy, "STREAM.INFO", for_good=True)
        with pytest.raises(error):
            async with joined(proxy, 1, cluster={"stream": STREAM}, **settings):
                pass
