"""A plain NATS client plays Stalwart: bytes in both directions equal those of its encoder."""

import json
from typing import Any

import pytest

import fastcoord
from fastcoord import Missed, ReloadBlockedIps
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, assert_accounts, collect, drain
from support.cluster.plain_peer import PlainPeer
from support.inputs.samples import samples
from support.inputs.vectors import VECTORS, Vector
from support.oracles import reference
from support.oracles.sequence_header import read_fields
from support.wait import until

PROTOCOLS = ["stalwart-0.15", "stalwart-0.16"]
NODE_ID = 64_999
"""The id of the fastcoord node; no Stalwart node of the vectors has it."""


def vectors_of(protocol: str) -> list[Vector]:
    """Return the batches that this version of Stalwart wrote."""
    vectors = [vector for vector in VECTORS if vector.name.startswith(protocol + ":")]
    assert NODE_ID not in {vector.node_id for vector in vectors}
    return vectors


def builtins_of(event: list[Any]) -> dict[str, Any]:
    event_type, fields = event
    return {"type": event_type, **fields}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_stalwart_events_are_delivered(server: LocalServer, protocol: str) -> None:
    vectors = vectors_of(protocol)
    expected = [builtins_of(event) for vector in vectors for event in vector.events]
    assert len(expected) > 1_000
    async with (
        PlainPeer(server.url) as stalwart,
        accounted(server, NODE_ID, cluster={"protocol": protocol}) as node,
        node.subscribe() as events,
        node.subscribe() as again,
    ):
        assert node.config.cluster.subject == "stwt.agora"
        await stalwart.publish(*(vector.payload for vector in vectors))
        received = await collect(events, len(expected))
        assert [fastcoord.to_builtins(event) for event in received] == expected
        json.dumps([fastcoord.to_builtins(event) for event in received])
        full = [vector for vector in vectors if vector.events]
        batches = await collect(again.batches(), len(full))
        assert [batch.node_id for batch in batches] == [vector.node_id for vector in full]
        assert [len(batch) for batch in batches] == [len(vector.events) for vector in full]
        assert drain(events) == []
        stats = node.stats()
        assert (stats.received, stats.malformed, stats.missed) == (len(expected), 0, {})
        unnumbered = {peer.node_id for peer in node.peers() if peer.incarnation is None}
        assert unnumbered == {vector.node_id for vector in vectors}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_published_bytes_equal_stalwart(server: LocalServer, protocol: str) -> None:
    vectors = [vector for vector in vectors_of(protocol) if vector.events]
    cluster = {"protocol": protocol, "heartbeat": "1h"}
    async with (
        PlainPeer(server.url) as stalwart,
        accounted(server, NODE_ID, cluster=cluster, capacity={"batch_bytes": "512KB"}) as node,
    ):
        expected = []
        for vector in vectors:
            await node.publish_many(
                [fastcoord.from_builtins(builtins_of(e)) for e in vector.events]
            )
            await node.flush()  # each is a separate batch, as in the vector
            expected.append(reference.encode_batch(NODE_ID, vector.events, protocol))
        await until(lambda: len(stalwart.messages) >= len(expected))
        assert stalwart.payloads == expected
        for vector, payload in zip(vectors, expected, strict=True):
            # Only the node id differs from the bytes that Stalwart's encoder wrote.
            own, theirs = leb128(NODE_ID), leb128(vector.node_id)
            assert payload.removeprefix(own) == vector.payload.removeprefix(theirs)
        assert {message.subject for message in stalwart.messages} == {"stwt.agora"}


@pytest.mark.parametrize("node_id", [0, 1, 127, 128, 16_383, 16_384, 65_535])
async def test_node_id_encoding_equals_stalwart(
    shared_server: LocalServer, cluster: dict[str, Any], node_id: int
) -> None:
    settings = {**cluster, "protocol": "stalwart-0.15"}
    async with (
        PlainPeer(shared_server.url, cluster["subject"]) as stalwart,
        accounted(shared_server, node_id, cluster=settings) as node,
    ):
        await node.publish(ReloadBlockedIps())
        await until(lambda: stalwart.payloads)
        # Hellos and heartbeats have a subject of their own.
        assert stalwart.payloads == [leb128(node_id) + b"\x06"]


async def test_headers_carry_sequence(shared_server: LocalServer, cluster: dict[str, Any]) -> None:
    settings = {**cluster, "protocol": "stalwart-0.16", "heartbeat": "100ms"}
    subject = cluster["subject"]
    async with (
        PlainPeer(shared_server.url, subject) as stalwart,
        PlainPeer(shared_server.url, f"{subject}.fastcoord") as presence,
    ):
        async with accounted(shared_server, 3, cluster=settings) as node:
            for size in (1, 7, 30):
                await node.publish_many(samples("stalwart-0.16")[:3] * size)
                await node.flush()
            seen = len(presence.messages)
            await until(lambda: len(presence.messages) > seen + 2, because="heartbeats came")
            incarnation = node.stats().incarnation
        # close() sends a goodbye: a header with an empty batch.
        await until(lambda: presence.messages[-1].header["F"].startswith("1bg"))
        assert presence.messages[0].header["F"].startswith("1bh")
        offset = 0
        for message in stalwart.messages:
            numbers = read_fields(message.header["F"].encode() + b"\r")
            count = len(fastcoord.decode_batch(message.payload, protocol="stalwart-0.16"))
            assert numbers == (incarnation, offset, count, 0, 0, 0)
            offset += count
        assert offset == 3 * (1 + 7 + 30)
        last = read_fields(presence.messages[-1].header["F"].encode() + b"\r")
        assert last == (incarnation, offset, 0, 0, 0, 100)
        names = {name for message in stalwart.messages for name in message.header}
        assert names == {"F"}


async def test_reconnect_reports_disconnect_once(
    server: LocalServer,
) -> None:
    async with (
        accounted(server, 1) as node,
        node.subscribe() as events,
        node.subscribe(kinds=[fastcoord.StateChange]) as others,
    ):
        async with PlainPeer(server.url) as stalwart:
            await stalwart.publish(b"\x07\x06")
            assert await collect(events, 1) == [ReloadBlockedIps()]
        disconnected = Missed(None, None, "disconnect")
        for times in range(1, 3):
            server.restart()
            await reconnected(times, node)
            async with PlainPeer(server.url) as stalwart:
                await stalwart.publish(b"\x07\x06", b"\x07\x06")
                received = await collect(events, 3)
            assert received == [disconnected, ReloadBlockedIps(), ReloadBlockedIps()]
            assert await collect(others, 1) == [disconnected]
        assert drain(events) == drain(others) == []
        assert_accounts(node)


async def test_disconnect_is_reported_without_stalwart(server: LocalServer) -> None:
    async with (
        accounted(server, 1) as node,
        accounted(server, 2) as peer,
        node.subscribe() as events,
    ):
        await peer.publish(ReloadBlockedIps())
        assert await collect(events, 1) == [ReloadBlockedIps()]
        server.restart()
        await reconnected(1, node, peer)
        await peer.publish(ReloadBlockedIps())
        assert await collect(events, 2) == [
            Missed(None, None, "disconnect"),
            ReloadBlockedIps(),
        ]
        assert drain(events) == []


async def test_undecodable_batch_is_missed(server: LocalServer) -> None:
    async with (
        PlainPeer(server.url) as stalwart,
        accounted(server, 1) as node,
        node.subscribe() as events,
    ):
        # An event before an unknown tag, twice a missing node id, then a valid batch.
        await stalwart.publish(b"\x07\x06\xff\x06", b"", b"\xff\xff\xff", b"\x07\x05")
        assert await collect(events, 5) == [
            ReloadBlockedIps(),
            Missed(7, None, "undecodable"),
            Missed(None, None, "undecodable"),
            Missed(None, None, "undecodable"),
            fastcoord.ReloadSettings(),
        ]
        assert node.stats().malformed == 3
        assert node.is_connected


async def reconnected(times: int, *nodes: fastcoord.Node) -> None:
    await until(lambda: {node.stats().reconnects for node in nodes} == {times})


def leb128(node_id: int) -> bytes:
    return reference.encode_integer(node_id, 16)
