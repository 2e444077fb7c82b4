"""What a failed attempt says: the cause, and what to do."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest

from fastcoord import (
    AppEvent,
    ConnectError,
    EventTooLarge,
    Missed,
    PermissionDenied,
    TlsError,
)
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect
from support.faults.proxy import Proxy
from support.servers.bare_server import BareServer
from support.servers.certificates import Certificates
from support.servers.scripted import ScriptedServer
from support.servers.unusable import listening, refused
from support.servers.users import Operator
from support.wait import until


@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
@pytest.mark.parametrize(
    ("pair", "authority", "reason"),
    [
        ("server", "wrong_ca", "from an unknown authority: set tls.ca-file"),
        ("server", None, "from an unknown authority: set tls.ca-file"),
        ("wrong_host", "ca", "is not valid for 127.0.0.1: use a name"),
        ("expired", "ca", "has expired: renew it on the server"),
    ],
    ids=["another authority", "no authority given", "another host", "expired"],
)
async def test_wrong_certificate_is_named(
    certificates: Certificates, pair: str, authority: str | None, reason: str, first: bool
) -> None:
    server_tls = getattr(certificates, pair).tls(handshake_first=first)
    with LocalServer(tls=server_tls) as server:
        tls: dict[str, Any] = {"enable": True, "handshake_first": first}
        if authority is not None:
            tls["ca_file"] = getattr(certificates, authority)
        text, error, _ = await refused(server, tls=tls)
    assert isinstance(error, TlsError)
    assert reason in text
    assert "Operation not permitted" not in text


@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
async def test_missing_client_certificate_is_named(certificates: Certificates, first: bool) -> None:
    demanded = certificates.server.tls(ca=certificates.ca, handshake_first=first)
    with LocalServer(tls=demanded) as server:
        tls = {"enable": True, "ca_file": certificates.ca, "handshake_first": first}
        text, error, _ = await refused(server, tls=tls)
    assert isinstance(error, ConnectError)
    assert re.search("require(s)? a client certificate: set tls.cert-file", text)


async def test_server_without_tls_port_is_named(certificates: Certificates) -> None:
    with LocalServer() as server:
        tls = {"enable": True, "ca_file": certificates.ca, "handshake_first": True}
        text, error, _ = await refused(server, tls=tls)
    assert isinstance(error, TlsError)
    assert "something that is not TLS" in text


async def test_server_without_headers_is_named() -> None:
    with LocalServer(extra_config="no_header_support: true") as server:
        text, error, _ = await refused(server)
    assert type(error) is ConnectError
    assert "does not support message headers" in text
    assert "overloaded" not in text


async def test_payload_limit_of_user_is_followed(cluster: dict[str, Any]) -> None:
    operator = Operator()
    with LocalServer(extra_config=operator.server_config) as server:
        settings: dict[str, Any] = {"cluster": cluster, "credentials": operator.user(payload=2048)}
        async with accounted(server, 1, **settings) as node:
            await node.publish(*[AppEvent(1, bytes(700))] * 10)
            await node.flush()
            stats = node.stats()
            assert (stats.confirmed, stats.reconnects) == (10, 0)
            assert stats.sent_batches == 5


async def test_lifted_limit_of_user_is_forgotten(cluster: dict[str, Any]) -> None:
    large = AppEvent(1, bytes(4000))
    async with ScriptedServer() as server, accounted(server, 1, cluster=cluster) as node:
        # nats-server 2.9 sends a second INFO only to users with a limit of their own.
        server.send(b'INFO {"max_payload": 2048}\r\n')
        await node.flush()
        with pytest.raises(EventTooLarge):
            await node.publish(large)
        server.drop()
        await until(lambda: node.stats().reconnects == 1 and node.is_connected)
        await node.publish(large)
        await node.flush()


async def test_unusable_limit_of_user_is_forgotten(cluster: dict[str, Any]) -> None:
    small = b'PONG\r\nINFO {"max_payload": 1}\r\n'
    async with ScriptedServer() as server, accounted(server, 1, cluster=cluster) as node:
        server.greeting = small
        server.drop()
        await until(lambda: "max_payload of 1 bytes" in str(node.health()))
        server.greeting = None
        await until(lambda: node.is_connected)
        await node.flush()


async def test_limit_of_user_concerns_no_peer(cluster: dict[str, Any]) -> None:
    operator = Operator()
    with LocalServer(extra_config=operator.server_config) as server:
        limited = operator.user(payload=2048)
        async with (
            Proxy(server.host, server.port) as proxy,
            accounted(proxy, 1, cluster=cluster, credentials=limited) as node,
            accounted(server, 2, cluster=cluster, credentials=operator.user()) as peer,
            node.subscribe(kinds=[AppEvent]) as events,
        ):
            proxy.cut()
            await until(lambda: node.stats().reconnects == 1 and node.is_connected)
            large = AppEvent(1, bytes(8000))
            await peer.publish(large)
            assert isinstance((await collect(events, 1))[0], Missed)
            assert await collect(events, 1) == [large]
            assert node.stats().reconnects == 1


async def test_raised_limit_of_server_concerns_no_peer(cluster: dict[str, Any]) -> None:
    with LocalServer(max_payload=2048) as server:
        async with (
            Proxy(server.host, server.port) as proxy,
            accounted(server, 1, cluster=cluster) as node,
            accounted(proxy, 2, cluster=cluster) as peer,
            node.subscribe(kinds=[AppEvent]) as events,
        ):
            server.settings.max_payload = 1 << 20
            server.reload()
            # The server tells the limit to new connections only.
            proxy.cut()
            await until(lambda: peer.stats().reconnects == 1 and peer.is_connected)
            large = AppEvent(1, bytes(8000))
            await peer.publish(large)
            assert await collect(events, 1) == [large]


async def test_payload_violation_is_named(
    caplog: pytest.LogCaptureFixture, cluster: dict[str, Any]
) -> None:
    async with BareServer() as script, accounted(script, 1, cluster=cluster) as node:
        await until(lambda: len(script.connects) == 1)
        caplog.set_level(logging.INFO, "fastcoord")
        script.send("-ERR 'Maximum Payload Violation'")
        await script.drop()
        await until(lambda: node.stats().reconnects == 1)
    (lost,) = [record.getMessage() for record in caplog.records if " lost: " in record.message]
    assert "larger than its limit for this user or account" in lost
    assert "reset by peer" not in lost


def permissions(**rights: Any) -> str:
    user = {"user": "node", "password": "secret", "permissions": rights}
    return f"authorization {{ users: [ {json.dumps(user)} ] }}"


@pytest.mark.parametrize("direction", ["publish", "subscribe"])
async def test_missing_right_is_denied(direction: str, cluster: dict[str, Any]) -> None:
    subject = cluster["subject"]
    with LocalServer(extra_config=permissions(**{direction: {"deny": [subject]}})) as server:
        text, error, _ = await refused(server, user="node", password="secret", cluster=cluster)
    assert isinstance(error, PermissionDenied)
    assert isinstance(error, PermissionError)
    assert (error.subject, error.direction) == (subject, direction)
    assert f'{direction}: {{ allow: ["{subject}"] }}' in text


async def test_several_missing_rights_are_named(cluster: dict[str, Any]) -> None:
    events, presence = cluster["subject"], f"{cluster['subject']}.fastcoord"
    rights = {"publish": {"deny": [events, presence]}, "subscribe": {"deny": [events, presence]}}
    with LocalServer(extra_config=permissions(**rights)) as server:
        text, error, _ = await refused(server, user="node", password="secret", cluster=cluster)
    assert isinstance(error, PermissionDenied)
    for subject in (events, presence):
        for direction in rights:
            assert f'{direction}: {{ allow: ["{subject}"] }}' in text
    assert "'fastcoord check --connect' tries each right" in text
    assert text.count("let presence use the subject of the events") == 1


GREETING = b'INFO {"version": "2.15.1", "max_payload": 1048576, "headers": true%s}\r\n'


@pytest.mark.parametrize(
    ("greeting", "answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", "the server's first line is not INFO: check"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", b"", "the server's first line is not INFO: check"),
        (b"\n" * 1000, b"", "the server's first line is not INFO: check"),
        (b"-ERR 'full'\r\n", b"", "the server reported an error: full"),
        (b"INFO " + b"[" * 100_000 + b"\r\n", b"", "the server's INFO is malformed: check"),
        (GREETING % b', "connect_urls": 5', b"", "the server's INFO is malformed: check"),
        (GREETING % b', "connect_urls": [1]', b"", "the server's INFO is malformed: check"),
        (
            GREETING % b', "max_payload": "x"',
            b"",
            "the server's INFO is malformed: its max_payload",
        ),
        (GREETING % b', "max_payload": 1e300', b"", "the server's INFO is malformed: its max"),
        (GREETING % b"", b"-ERR 'full'\r\n", "the server reported an error: full"),
        (GREETING % b"", b"PONG\r\nMSG a 1 99999999999999999999\r\n", "a message line has no"),
        (GREETING % b"", b"PONG\r\nHMSG a 1 9 3\r\n", "the server broke the protocol: "),
    ],
)
async def test_broken_handshake_is_named(greeting: bytes, answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(answer)

    async with listening(serve) as server:
        text, error, _ = await refused(server)
    assert type(error) is ConnectError
    assert reason in text
