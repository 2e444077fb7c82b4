"""The settings of addresses, credentials, TLS and the cluster have their documented effect.

``test_settings_bounds.py`` covers timeouts, intervals and capacities.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import fastcoord
from fastcoord import Missed, ReloadBlockedIps
from fastcoord.server import LocalCluster, LocalServer
from support.cluster.accounting import accounted, collect
from support.cluster.nodes import joined, node_toml
from support.cluster.plain_peer import PlainPeer
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.servers.certificates import Certificates
from support.servers.unusable import unused_address
from support.servers.users import Operator
from support.wait import until

Cluster = dict[str, Any]
SHORT: dict[str, Any] = {"timeout": {"connection": "2s"}}


async def connection_of(server: LocalServer, **settings: Any) -> dict[str, Any]:
    """Connect a node and return what the server reports about its connection."""
    async with joined(server, 1, **settings):
        # The server may not have noticed yet that an earlier node has left.
        await until(lambda: server.connz()["num_connections"] == 1)
        (connection,) = server.connz(auth=1)["connections"]
        return dict(connection)


@asynccontextmanager
async def recorded(server: LocalServer) -> AsyncIterator[tuple[Proxy, list[Frame]]]:
    """Put a proxy before a server, and keep the frames that nodes send."""
    frames: list[Frame] = []

    def keep(frame: Frame) -> Frame:
        frames.append(frame)
        return frame

    async with Proxy(server.host, server.port) as proxy:
        proxy.to_server.filter = keep
        yield proxy, frames


# ------------------------------------------------------------------------------------- address


async def test_address_accepts_one_server(shared_server: LocalServer) -> None:
    one = f"{shared_server.host}:{shared_server.port}"
    async with accounted(shared_server, 1, address=one) as node:
        assert node.stats().server == one


async def test_address_accepts_dead_servers(
    shared_server: LocalServer,
) -> None:
    dead = unused_address()
    async with accounted([dead, dead, shared_server], 1) as node:
        assert node.stats().server == f"{shared_server.host}:{shared_server.port}"


async def test_address_order_is_random() -> None:
    with LocalServer() as one, LocalServer() as two:
        first_tried = set()
        for _ in range(24):  # all are the same once in eight million runs
            async with joined([one, two], 1) as node:
                first_tried.add(node.stats().server)
            if len(first_tried) == 2:
                break
        assert first_tried == {f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"}


async def test_announced_servers_are_added() -> None:
    with LocalCluster(2) as servers:
        known, announced = servers.servers
        await until(lambda: len(known.varz()["connect_urls"]) == 2)
        async with accounted(known, 1) as node:
            known.stop()
            await until(lambda: node.stats().reconnects)
            assert node.stats().server == f"127.0.0.1:{announced.port}"


# --------------------------------------------------------------------------------- credentials


async def test_user_and_password_are_sent() -> None:
    with LocalServer(users={"one": "first", "two": "second"}) as server:
        for user, password in (("one", "first"), ("two", "second")):
            connection = await connection_of(server, user=user, password=password)
            assert connection["authorized_user"] == user


@pytest.mark.parametrize("kind", ["user", "bearer"])
async def test_credentials_are_sent(kind: str) -> None:
    operator = Operator()
    with LocalServer(extra_config=operator.server_config) as server:
        credentials = getattr(operator, kind)()
        connection = await connection_of(server, credentials=credentials)
        assert connection["account"] == operator.account_key
        assert connection["authorized_user"] == operator.owner_of(credentials)


async def test_reconnect_sends_credentials() -> None:
    operator = Operator()
    with LocalServer(extra_config=operator.server_config) as server:
        async with (
            accounted(server, 1, credentials=operator.user()) as sender,
            accounted(server, 2, credentials=operator.bearer()) as receiver,
            receiver.subscribe() as events,
        ):
            server.restart()
            await until(lambda: sender.stats().reconnects == receiver.stats().reconnects == 1)
            await sender.publish(ReloadBlockedIps())
            absence = Missed(None, None, "disconnect")
            assert await collect(events, 2) == [absence, ReloadBlockedIps()]


# ---------------------------------------------------------------------------- no-echo and TLS


@pytest.mark.parametrize(("settings", "echo"), [({}, False), ({"no_echo": False}, True)])
async def test_no_echo_sets_connect_option(
    shared_server: LocalServer, cluster: Cluster, settings: dict[str, Any], echo: bool
) -> None:
    async with recorded(shared_server) as (proxy, frames):
        async with (
            accounted(proxy, 1, cluster=cluster, **settings) as node,
            node.subscribe() as events,
        ):
            await node.publish(ReloadBlockedIps())
            await node.flush()
            if echo:
                assert await collect(events, 1) == [ReloadBlockedIps()]
            assert events.stats().arrived == int(echo)
        (connect,) = [json.loads(frame.raw[8:]) for frame in frames if frame.verb == "CONNECT"]
        assert connect["echo"] is echo


@pytest.mark.parametrize("enable", [True, False])
async def test_tls_enable_selects_tls(certificates: Certificates, enable: bool) -> None:
    with LocalServer(tls=certificates.server.tls(allow_non_tls=True)) as server:
        tls = {"enable": True, "ca_file": certificates.ca} if enable else {"enable": False}
        connection = await connection_of(server, tls=tls)
        assert ("tls_version" in connection) is enable


async def test_client_certificate_is_sent(certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls(ca=certificates.ca)) as server:
        tls: dict[str, Any] = {"enable": True, "ca_file": certificates.ca}
        with pytest.raises(fastcoord.ConnectError):
            await connection_of(server, tls=tls, **SHORT)
        tls |= {"cert_file": certificates.client.cert, "key_file": certificates.client.key}
        assert "tls_version" in await connection_of(server, tls=tls)


async def test_handshake_first_connects(
    certificates: Certificates,
) -> None:
    with LocalServer(tls=certificates.server.tls(handshake_first=True)) as server:
        tls: dict[str, Any] = {"enable": True, "ca_file": certificates.ca}
        with pytest.raises(fastcoord.ConnectTimeout):
            await connection_of(server, tls=tls, timeout={"connection": "300ms"})
        tls["handshake_first"] = True
        assert "tls_version" in await connection_of(server, tls=tls)


# ------------------------------------------------------------------------------------- cluster


async def test_coordinator_selects_store() -> None:
    with LocalServer() as one, LocalServer() as two:
        stores = "".join(
            f'[store."{name}"]\ntype = "nats"\naddress = "{server.url}"\n'
            for name, server in (("a.b", one), ("c", two))
        )
        for name, server in (("a.b", one), ("c", two)):
            text = f'{stores}[store.pg]\ntype = "postgresql"\n[cluster]\ncoordinator = "{name}"\n'
            async with fastcoord.connect(fastcoord.parse_config(text)) as node:
                assert node.stats().server == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(("settings", "expected"), [({}, 1), ({"node_id": 777}, 777)])
async def test_node_id_reaches_peers(
    shared_server: LocalServer, cluster: Cluster, settings: dict[str, Any], expected: int
) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster={**cluster, **settings}))
    async with (
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
        fastcoord.connect(config) as node,
    ):
        assert node.node_id == expected
        await node.publish(ReloadBlockedIps())
        (batch,) = await collect(events.batches(), 1)
        assert batch.node_id == expected
    async with fastcoord.connect(config, node_id=9) as node:
        assert (node.node_id, node.config.cluster.node_id) == (9, 9)


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({}, "stwt.agora"),
        ({"protocol": "stalwart-0.16"}, "stwt.agora"),
        ({"protocol": "fastcoord-1"}, "fastcoord.agora"),
        ({"protocol": "fastcoord-1", "subject": "my.own"}, "my.own"),
    ],
)
async def test_protocol_and_subject_are_used(
    server: LocalServer, settings: dict[str, Any], subject: str
) -> None:
    event = fastcoord.EmailPush(1, 2, 3)
    async with (
        PlainPeer(server.url, subject) as plain,
        accounted(server, 1, cluster=settings) as node,
    ):
        await node.publish(event)
        await until(lambda: any(len(payload) > 1 for payload in plain.payloads))
        protocol = settings.get("protocol", "stalwart-0.15")
        expected = fastcoord.encode_batch([event], node_id=1, protocol=protocol)
        assert expected in plain.payloads
