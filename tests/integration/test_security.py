"""No credential is sent on a connection that is less secure than configured."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastcoord import (
    AuthenticationFailed,
    ConnectError,
    Disconnected,
    ReloadBlockedIps,
    TlsError,
)
from fastcoord.server import LocalServer, ServerTls
from support.cluster.accounting import accounted, collect
from support.servers.certificates import Certificates
from support.servers.scripted import ScriptedServer
from support.servers.unusable import Address, listening, refused
from support.servers.users import Operator, creds, make_pair
from support.wait import until

SECRET = "correct-horse-battery"
LOGIN: dict[str, Any] = {"user": "node", "password": SECRET}
INFO = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true%s}\r\n'


class Tap:
    """Forward connections to a server and keep every byte that clients send."""

    def __init__(self, server: LocalServer) -> None:
        self.sent = bytearray()
        self._target = (server.host, server.port)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._target)

        async def to_client() -> None:
            with contextlib.suppress(ConnectionError):
                while data := await from_server.read(65536):
                    writer.write(data)
            writer.close()

        answering = asyncio.create_task(to_client())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.sent += data
                to_server.write(data)
        to_server.close()
        await answering
        with contextlib.suppress(ConnectionError):
            await to_server.wait_closed()


@asynccontextmanager
async def tapped(server: LocalServer) -> AsyncIterator[tuple[Address, Tap]]:
    tap = Tap(server)
    async with listening(tap) as address:
        yield address, tap


def is_protected(sent: bytes | bytearray) -> bool:
    """Whether a client has sent nothing or only TLS records."""
    assert SECRET.encode() not in sent
    assert b"CONNECT" not in sent
    return not sent or sent[0] == 0x16


# --------------------------------------------------------------------------- servers without TLS


async def test_plain_server_receives_nothing() -> None:
    with LocalServer(users={"node": SECRET}) as server:
        async with tapped(server) as (address, tap):
            text, error, _ = await refused(address, tls={"enable": True}, **LOGIN)
            assert isinstance(error, TlsError)
            assert "does not offer TLS" in text
            assert "tls.enable" in text
            assert tap.sent == b""


async def test_tls_address_requires_tls() -> None:
    with LocalServer(users={"node": SECRET}) as server:
        async with tapped(server) as (address, tap):
            address.url = address.url.replace("nats://", "tls://")
            _, error, _ = await refused(address, **LOGIN)
            assert isinstance(error, TlsError)
            assert tap.sent == b""


async def test_offered_tls_is_used(
    certificates: Certificates,
) -> None:
    offered = certificates.server.tls(allow_non_tls=True)
    with LocalServer(users={"node": SECRET}, tls=offered) as server:
        async with tapped(server) as (address, tap):
            tls = {"enable": True, "ca_file": certificates.ca}
            async with accounted(address, 1, tls=tls, **LOGIN) as node:
                await node.publish(ReloadBlockedIps())
                await node.flush()
            assert tap.sent
            assert is_protected(tap.sent)


async def test_reconnect_requires_tls(
    certificates: Certificates,
) -> None:
    secure = certificates.server.tls()
    with LocalServer(users={"node": SECRET}, tls=secure) as server:
        async with tapped(server) as (address, tap):
            tls = {"enable": True, "ca_file": certificates.ca}
            async with accounted(address, 1, tls=tls, **LOGIN) as node:
                server.kill()
                await until(lambda: not node.is_connected)
                tap.sent.clear()
                server.settings.tls = None
                server.restart()
                await until(lambda: server.varz()["total_connections"] >= 2)
                assert not node.is_connected
                assert tap.sent == b""
                server.settings.tls = secure
                server.restart()
                await until(lambda: node.is_connected)
                await node.flush()
            assert is_protected(tap.sent)


# ------------------------------------------------------------------ servers with wrong certificates


@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
@pytest.mark.parametrize(
    ("pair", "authority", "reason"),
    [
        ("server", "wrong_ca", "certificate"),
        ("wrong_host", "ca", "127.0.0.1"),
        ("expired", "ca", "expired"),
        ("server", None, "certificate"),
    ],
    ids=["another authority", "another host", "expired", "no authority given"],
)
async def test_wrong_certificate_protects_credentials(
    certificates: Certificates, pair: str, authority: str | None, reason: str, first: bool
) -> None:
    server_tls: ServerTls = getattr(certificates, pair).tls(handshake_first=first)
    with LocalServer(users={"node": SECRET}, tls=server_tls) as server:
        async with tapped(server) as (address, tap):
            tls: dict[str, Any] = {"enable": True, "handshake_first": first}
            if authority is not None:
                tls["ca_file"] = getattr(certificates, authority)
            text, error, _ = await refused(address, tls=tls, **LOGIN)
            assert isinstance(error, TlsError)
            assert reason in text
            assert "check tls.enable, tls.ca-file and the server's certificate" in text
            assert is_protected(tap.sent)


async def test_bytes_before_handshake_fail() -> None:
    received: list[bytes] = []

    async def inject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO % b',"tls_required":true' + b"MSG stwt.agora 1 2\r\n\x07\x06\r\nPONG\r\n")
        received.append(await reader.read(65536))

    async with listening(inject) as address:
        _, error, _ = await refused(
            address, tls={"enable": True}, timeout={"connection": "1s"}, **LOGIN
        )
        assert isinstance(error, ConnectError)
        assert all(map(is_protected, received))


# ------------------------------------------------------------------------ client credentials


@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
async def test_server_verifies_client_certificate(certificates: Certificates, first: bool) -> None:
    demanded = certificates.server.tls(ca=certificates.ca, handshake_first=first)
    with LocalServer(tls=demanded) as server:
        tls: dict[str, Any] = {"enable": True, "ca_file": certificates.ca}
        tls["handshake_first"] = first
        await refused(server, tls=tls, timeout={"connection": "2s"})
        foreign = certificates.foreign
        theirs = {"cert_file": foreign.cert, "key_file": foreign.key}
        await refused(server, tls={**tls, **theirs}, timeout={"connection": "2s"})
        ours = {"cert_file": certificates.client.cert, "key_file": certificates.client.key}
        async with accounted(server, 1, tls={**tls, **ours}) as node:
            assert node.is_connected


async def test_each_credential_type_connects(
    certificates: Certificates,
) -> None:
    operator = Operator()
    secure = certificates.server.tls()
    tls = {"enable": True, "ca_file": certificates.ca}
    with LocalServer(extra_config=operator.server_config, tls=secure) as server:
        async with (
            accounted(server, 1, tls=tls, credentials=operator.user()) as sender,
            accounted(server, 2, tls=tls, credentials=operator.bearer()) as receiver,
            receiver.subscribe() as events,
        ):
            await sender.publish(ReloadBlockedIps())
            assert await collect(events, 1) == [ReloadBlockedIps()]


def shown(error: BaseException, log: pytest.LogCaptureFixture) -> str:
    """Return everything of an error and of the log that an operator may read."""
    # Lines of source code are left out: they are not what a server has sent.
    traced: traceback.TracebackException | None
    traced = traceback.TracebackException.from_exception(error)
    chain: list[str] = []
    while traced is not None:
        chain += traced.format_exception_only()
        traced = traced.__cause__ or traced.__context__
    return "".join(chain) + log.text


@pytest.mark.parametrize(
    "line",
    ["Authorization Violation for node/{}", "no password {}", "no password {} at all"],
)
async def test_echoed_password_is_hidden(line: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = f"-ERR '{line.format(SECRET.upper())}'\r\n".encode()
    async with ScriptedServer(greeting=error) as server:
        text, raised, _ = await refused(server, **LOGIN)
    assert "***" in text
    assert SECRET not in shown(raised, caplog).lower()


async def test_echoed_seed_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    credentials = Operator().user()
    jwt, seed = credentials.splitlines()[1], credentials.splitlines()[5]
    error = f"-ERR 'Authorization Violation {seed} {jwt.split('.')[1]}'\r\n".encode()
    async with ScriptedServer(greeting=error, auth_required=True, nonce="once") as server:
        text, raised, _ = await refused(server, credentials=credentials)
    assert "(Authorization Violation *** ***)" in text
    assert seed not in shown(raised, caplog)


async def test_password_echoed_later_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        ScriptedServer() as server,
        accounted(server, 1, **LOGIN) as node,
        node.subscribe(connection=True) as events,
    ):
        server.send(f"-ERR 'Expired: {SECRET}'\r\n".encode())
        (lost,) = await collect(events, 1)
        assert isinstance(lost, Disconnected)
        assert lost.reason == "the server reported an error: Expired: ***"
    assert "Expired: ***" in caplog.text
    assert SECRET not in caplog.text


OPERATOR, OTHER = Operator(), Operator()


@pytest.mark.parametrize(
    "settings",
    [
        {"credentials": OTHER.user()},
        {"credentials": OTHER.bearer()},
        {"credentials": OPERATOR.user(exp=1)},
        {"credentials": OPERATOR.bearer(exp=1)},
        {"credentials": OPERATOR.user(allowed_connection_types=["WEBSOCKET"])},
        {"user": "node", "password": SECRET},
        {},
    ],
    ids=[
        "user of another account",
        "bearer of another account",
        "expired user",
        "expired bearer",
        "user for other connections",
        "password",
        "nothing",
    ],
)
async def test_wrong_credentials_stay_secret(
    settings: dict[str, Any],
) -> None:
    with LocalServer(extra_config=OPERATOR.server_config) as server:
        text, error, _ = await refused(server, **settings)
    assert isinstance(error, AuthenticationFailed)
    assert "check user, password and credentials" in text
    assert ("the server requires a login, and none is set" in text) == (not settings)
    for secret in settings.values():
        assert not any(word in text for word in str(secret).split() if len(word) > 20)


async def test_mismatched_seed_is_refused() -> None:
    jwt = OPERATOR.user().splitlines()[1]
    from nkeys import PREFIX_BYTE_USER

    from fastcoord import ConfigError, parse_config
    from support.cluster.nodes import node_toml

    text = creds(jwt, make_pair(PREFIX_BYTE_USER))
    with pytest.raises(ConfigError, match="belongs to another user"):
        parse_config(node_toml([], address="localhost", credentials=text))
