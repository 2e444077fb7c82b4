"""``LocalServer`` with TLS, and the certificates that the tests use."""

import asyncio
import socket
import ssl

import pytest

from fastcoord.server import LocalServer
from support.cluster.plain_peer import PlainPeer
from support.servers.certificates import Certificates
from support.wait import until


@pytest.mark.parametrize("handshake_first", [False, True])
async def test_server_uses_certificates(certificates: Certificates, handshake_first: bool) -> None:
    tls = certificates.server.tls(handshake_first=handshake_first)
    with LocalServer(tls=tls) as server:
        assert server.url.startswith("tls://")
        context = ssl.create_default_context(cafile=str(certificates.ca))
        async with PlainPeer(server.url, tls=context, tls_handshake_first=handshake_first):
            assert "tls_version" in server.connz()["connections"][0]


async def test_optional_tls_accepts_both(certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls(allow_non_tls=True)) as server:
        assert server.url.startswith("nats://")
        context = ssl.create_default_context(cafile=str(certificates.ca))
        with socket.create_connection((server.host, server.port)) as connection:
            assert b'"tls_available":true' in connection.recv(65536)
            with context.wrap_socket(connection, server_hostname=server.host) as secured:
                secured.sendall(b"CONNECT {}\r\nPING\r\n")
                await until(lambda: server.connz()["num_connections"] == 1)
                async with PlainPeer(server.url):
                    versions = [each.get("tls_version") for each in server.connz()["connections"]]
                    assert sorted(versions, key=str) == ["1.3", None]


async def test_client_certificate_is_required(
    certificates: Certificates,
) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    tls = certificates.server.tls(ca=certificates.ca, handshake_first=True)
    with LocalServer(tls=tls) as server:
        for foreign in (None, certificates.foreign):
            if foreign is not None:
                context.load_cert_chain(foreign.cert, foreign.key)
            with (
                socket.create_connection((server.host, server.port)) as connection,
                context.wrap_socket(connection, server_hostname=server.host) as secured,
                pytest.raises((ssl.SSLError, ConnectionResetError)),
            ):
                secured.recv(1)  # with TLS 1.3 the refusal arrives with the first read
        context.load_cert_chain(certificates.client.cert, certificates.client.key)
        async with PlainPeer(server.url, tls=context, tls_handshake_first=True):
            # The server may not have noticed yet that the refused clients have left.
            await until(lambda: server.connz()["num_connections"] == 1)


@pytest.mark.parametrize("wrong", ["wrong_host", "expired"])
async def test_wrong_certificates_are_refused(certificates: Certificates, wrong: str) -> None:
    with LocalServer(tls=getattr(certificates, wrong).tls(handshake_first=True)) as server:
        context = ssl.create_default_context(cafile=str(certificates.ca))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(server.host, server.port, ssl=context)


async def test_unknown_authority_is_refused(certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls(handshake_first=True)) as server:
        context = ssl.create_default_context(cafile=str(certificates.wrong_ca))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(server.host, server.port, ssl=context)
