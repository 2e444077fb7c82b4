"""Nodes on a leaf node use a stream of the hub through its JetStream domain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastcoord import StreamError
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.stream_crowd import PROTOCOL, STREAM, make_stream, numbered
from support.servers.unusable import unused_address
from support.wait import until


@asynccontextmanager
async def hub_and_leaf(
    store: Path, leaf_config: str = ""
) -> AsyncIterator[tuple[LocalServer, LocalServer]]:
    port = unused_address().name.rpartition(":")[2]
    hub_config = (
        f'jetstream {{ store_dir: "{store}/hub", domain: hub }}\n'
        f'leafnodes {{ host: "127.0.0.1", port: {port} }}\n'
    )
    leaf_config += f'\nleafnodes {{ remotes: [ {{ url: "nats://127.0.0.1:{port}" }} ] }}\n'
    with (
        LocalServer(name="hub", extra_config=hub_config) as hub,
        LocalServer(name="leaf", extra_config=leaf_config) as leaf,
    ):
        await until(lambda: hub.monitor("leafz")["leafnodes"])
        await make_stream([hub])
        yield hub, leaf


@pytest.mark.parametrize("own", [False, True], ids=["leaf without JetStream", "with its own"])
async def test_leaf_node_uses_stream_of_hub(tmp_path: Path, own: bool) -> None:
    leaf_config = f'jetstream {{ store_dir: "{tmp_path}/leaf", domain: leaf }}' if own else ""
    cluster = {"stream": STREAM, "protocol": PROTOCOL}
    at_leaf = {**cluster, "stream_domain": "hub"}
    async with (
        hub_and_leaf(tmp_path, leaf_config) as (hub, leaf),
        joined(hub, 1, cluster=cluster) as first,
        joined(leaf, 2, cluster=at_leaf) as second,
        first.subscribe() as at_first,
        second.subscribe(since=0) as at_second,
    ):
        await first.publish(numbered(1, 0))
        await first.flush()
        await second.publish(numbered(2, 0))
        await second.flush()
        assert await anext(at_first) == numbered(2, 0)
        assert await anext(at_second) == numbered(1, 0)


async def test_leaf_node_needs_domain(tmp_path: Path) -> None:
    async with hub_and_leaf(tmp_path) as (_, leaf):
        with pytest.raises(StreamError, match="stream-domain"):
            async with joined(leaf, 2, cluster={"stream": STREAM, "protocol": PROTOCOL}):
                pass
