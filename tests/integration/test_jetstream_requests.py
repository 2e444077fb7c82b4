"""Requests to the JetStream API of real servers."""

import asyncio
from typing import Any

import pytest
from nats.aio.msg import Msg

import fastcoord
from fastcoord.cli.administrator import Administrator
from fastcoord.config import Config
from fastcoord.nats.stream_info import StreamInfo
from fastcoord.server import LocalCluster, LocalServer
from fastcoord.streaming.settings import stream_problems, stream_settings
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.wait import until


def config_for(servers: Any, name: str = "AGORA", **settings: Any) -> Config:
    cluster = {"stream": name, "subject": f"events.{name}"}
    return fastcoord.parse_config(node_toml(servers, cluster=cluster, **settings))


async def test_stream_is_created_and_read(shared_jetstream_server: LocalServer) -> None:
    config = config_for(shared_jetstream_server, "CREATED")
    async with Administrator(config) as admin, PlainPeer(shared_jetstream_server.url) as peer:
        created = await admin.jetstream.create_stream(stream_settings(config))
        assert created.config == stream_settings(config)
        assert stream_problems(created, config) == []
        for _ in range(3):
            await peer.client.jetstream().publish("events.CREATED", b"x")
        found = await admin.jetstream.stream_info("CREATED")
        assert (found.state.messages, found.state.first_seq, found.state.last_seq) == (3, 1, 3)
        # Servers before 2.10 describe no cluster of a single server.
        if found.cluster is not None:
            assert (bool(found.cluster.leader), found.cluster.replicas) == (True, None)
        # The same settings again are no error.
        assert (await admin.jetstream.create_stream(stream_settings(config))).state.messages == 3


async def test_requests_may_overlap(shared_jetstream_server: LocalServer) -> None:
    config = config_for(shared_jetstream_server, "OVERLAPPING")
    async with Administrator(config) as admin:
        await admin.jetstream.create_stream(stream_settings(config))
        answers = await asyncio.gather(
            *(admin.jetstream.stream_info(name) for name in ["OVERLAPPING", "NONE"] * 10),
            return_exceptions=True,
        )
    assert [isinstance(answer, StreamInfo) for answer in answers] == [True, False] * 10
    assert {answer.code for answer in answers if isinstance(answer, fastcoord.StreamError)} == {
        10059
    }


async def test_server_without_jetstream_is_named(shared_server: LocalServer) -> None:
    async with Administrator(config_for(shared_server)) as admin:
        with pytest.raises(fastcoord.StreamError, match="server has no JetStream: enable it with"):
            await admin.jetstream.stream_info("AGORA")


@pytest.mark.parametrize(
    "answer",
    [b"no JSON", b'{"error": {"description": "\xff"}}', b"[" * 100_000],
    ids=["text", "no UTF-8", "nested"],
)
async def test_unreadable_answer_is_an_error(shared_server: LocalServer, answer: bytes) -> None:
    async def respond(message: Msg) -> None:
        await message.respond(answer)

    async with (
        PlainPeer(shared_server.url) as peer,
        Administrator(config_for(shared_server)) as admin,
    ):
        await peer.client.subscribe("$JS.API.STREAM.INFO.BAD", cb=respond)
        await peer.flush()
        with pytest.raises(fastcoord.StreamError, match=r"STREAM.INFO.BAD: unexpected answer"):
            await admin.jetstream.stream_info("BAD")


@pytest.mark.parametrize(
    ("permissions", "direction", "subject"),
    [
        ('publish: "x", subscribe: "_INBOX.>"', "publish", "$JS.API.STREAM.INFO.AGORA"),
        ('publish: "$JS.API.>", subscribe: "x"', "subscribe", "_INBOX.>"),
    ],
)
async def test_missing_right_is_named(permissions: str, direction: str, subject: str) -> None:
    users = (
        f"authorization {{ users: [{{ user: a, password: b, permissions: {{ {permissions} }} }}] }}"
    )
    with LocalServer(jetstream=True, extra_config=users) as server:
        async with Administrator(config_for(server, user="a", password="b")) as admin:
            # More often than the number of refused subjects that a connection stores.
            for _ in range(70):
                with pytest.raises(fastcoord.PermissionDenied) as caught:
                    await admin.jetstream.stream_info("AGORA")
    assert (caught.value.direction, caught.value.subject) == (direction, subject)


async def test_silent_server_times_out(jetstream_server: LocalServer) -> None:
    config = config_for(jetstream_server, timeout={"request": "200ms"})
    async with Administrator(config) as admin:
        jetstream_server.freeze()
        with pytest.raises(fastcoord.RequestTimeout, match=r"STREAM\.INFO\.AGORA within 0\.2 s"):
            await admin.jetstream.stream_info("AGORA")
        jetstream_server.thaw()

        async def reason() -> str:
            try:
                await admin.jetstream.stream_info("AGORA")
            except fastcoord.RequestTimeout:
                return ""  # on a busy machine, this answer may be late too
            except fastcoord.StreamError as error:
                return str(error)
            return "the stream is there"

        # The late reply to the first request is not mistaken for this one.
        assert "stream not found" in await until(reason)


async def test_lost_connection_ends_requests(jetstream_server: LocalServer) -> None:
    async with Administrator(config_for(jetstream_server)) as admin:
        jetstream_server.freeze()
        asking = asyncio.create_task(admin.jetstream.stream_info("AGORA"))
        await asyncio.sleep(0)
        jetstream_server.kill()
        with pytest.raises(fastcoord.ConnectionLost, match="is lost"):
            await asking


async def test_cluster_stores_replicas(shared_jetstream_cluster: LocalCluster) -> None:
    config = config_for(shared_jetstream_cluster.servers)
    async with Administrator(config) as admin:
        info = await admin.jetstream.create_stream(stream_settings(config, replicas=3))
    assert info.cluster is not None
    assert info.cluster.leader in {"local-1", "local-2", "local-3"}
    assert len(info.cluster.replicas or ()) == 2
