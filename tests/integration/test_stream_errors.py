"""What a node says about a stream that it cannot use."""

import json

import nats
import pytest

from fastcoord import PeerDown, PeerUp, PermissionDenied, RequestTimeout, StreamError
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.stream_crowd import STREAM, administrator, make_stream, stream_crowd
from support.wait import until

CLUSTER = {"stream": STREAM}


async def join(server: LocalServer, **settings: object) -> None:
    async with joined(server, 1, cluster=CLUSTER, **settings):
        pass


async def test_missing_stream_is_an_error(shared_jetstream_server: LocalServer) -> None:
    with pytest.raises(StreamError, match="fastcoord stream create"):
        await join(shared_jetstream_server)


async def test_failed_join_says_goodbye(jetstream_server: LocalServer) -> None:
    async with (
        joined(jetstream_server, 2) as node,
        node.subscribe(kinds=[PeerUp, PeerDown]) as seen,
    ):
        with pytest.raises(StreamError):
            await join(jetstream_server)
        notices = [await anext(aiter(seen)), await anext(aiter(seen))]
    assert notices == [PeerUp(1), PeerDown(1, goodbye=True)]


async def test_server_without_jetstream_is_an_error(shared_server: LocalServer) -> None:
    with pytest.raises(StreamError, match="the server has no JetStream"):
        await join(shared_server)


async def test_wrong_subject_is_an_error(jetstream_server: LocalServer) -> None:
    await make_stream([jetstream_server], subjects=["other"])
    with pytest.raises(StreamError, match=r"does not store stwt\.agora"):
        await join(jetstream_server)


@pytest.mark.parametrize(
    "missing",
    [
        "$JS.API.STREAM.INFO.AGORA",
        "$JS.API.CONSUMER.CREATE.AGORA.>",
        "$JS.API.CONSUMER.MSG.NEXT.AGORA.>",
    ],
)
async def test_missing_right_is_an_error(missing: str) -> None:
    denied = f"permissions: {{ publish: {{ deny: {json.dumps([missing])} }} }}"
    known = f"{{ user: a, password: b, {denied} }}, {{ user: c, password: d }}"
    users = f"authorization {{ users: [{known}] }}"
    with LocalServer(jetstream=True, extra_config=users) as server:
        client = await nats.connect(server.url, user="c", password="d")
        await client.jetstream().add_stream(name=STREAM, subjects=["stwt.agora"])
        await client.close()
        with pytest.raises(PermissionDenied) as caught:
            await join(server, user="a", password="b")
        assert caught.value.direction == "publish"
        assert caught.value.subject.startswith(missing.removesuffix(">"))


async def test_flush_names_trouble_of_stream(jetstream_server: LocalServer) -> None:
    settings = {"timeout": {"request": "3s"}}
    async with stream_crowd(jetstream_server, size=1, **settings) as crowd:
        node = crowd.nodes[0]
        async with administrator([jetstream_server]) as jetstream:
            await jetstream.delete_stream(STREAM)
        await crowd.publish(node)
        await until(lambda: node.stats().stream.trouble)
        with pytest.raises(RequestTimeout, match="the stream does not accept them"):
            await node.flush()
        await make_stream([jetstream_server])
        await crowd.confirmed()
        await node.flush()
        await until(lambda: node.stats().stream.trouble is None)
