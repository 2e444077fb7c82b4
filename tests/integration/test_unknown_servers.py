"""Connecting to something that is no NATS server raises one clear error in time."""

import asyncio

import pytest

from fastcoord import ConnectTimeout
from support.servers.unusable import Handler, listening, refused

INFO = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true}\r\n'


async def sends_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def closes_after_info(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INFO)
    await reader.readline()


async def sends_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await reader.read()


async def sends_noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(range(256)) * 64)
    await reader.read()


async def sends_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def sends_broken_json(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO {broken\r\n")
    await reader.read()


async def sends_list(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO [1, 2]\r\n")
    await reader.read()


async def sends_no_pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INFO)
    await reader.read()


async def sends_noise_for_pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INFO)
    await reader.readline()
    writer.write(b"\xff\x00\x1b[31m\r\n" * 100)
    await reader.read()


@pytest.mark.parametrize(
    "handler",
    [
        closes_at_once,
        closes_after_info,
        sends_http,
        sends_noise,
        sends_without_end,
        sends_broken_json,
        sends_list,
        sends_no_pong,
        sends_noise_for_pong,
        sends_nothing,
    ],
)
@pytest.mark.parametrize("tls", [False, True])
async def test_unknown_server_fails_in_time(handler: Handler, tls: bool) -> None:
    is_silent = handler in (sends_nothing, sends_no_pong)
    timeout = {"connection": "500ms" if is_silent else "60s"}
    async with listening(handler) as server:
        text, error, _ = await refused(server, tls={"enable": tls}, timeout=timeout)
        assert server.name in text
        assert text.isprintable()
        assert len(text) < 500
        if handler is sends_without_end:
            assert "broke the protocol" in text
        if is_silent and not tls:
            assert isinstance(error, ConnectTimeout)
            assert isinstance(error, TimeoutError)
            assert "no answer within 0.5 s (timeout.connection)" in text
