"""What listens at the address is no NATS server: the attempt ends in a sentence, in time."""

import asyncio
from typing import Any

import pytest

from fastcoord import ConnectTimeout
from support.servers.unusable import Handler, listening, refused

SHORT: dict[str, Any] = {"timeout": {"connection": "500ms"}}
INFO = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true}\r\n'


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def closes_after_info(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INFO)
    await reader.readline()


async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await reader.read()


async def speaks_noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(range(256)) * 64)
    await reader.read()


async def speaks_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def says_no_json(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO {broken\r\n")
    await reader.read()


async def says_a_list(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO [1, 2]\r\n")
    await reader.read()


async def never_says_pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INFO)
    await reader.read()


async def says_noise_for_pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INFO)
    await reader.readline()
    writer.write(b"\xff\x00\x1b[31m\r\n" * 100)
    await reader.read()


@pytest.mark.parametrize(
    "handler",
    [
        closes_at_once,
        closes_after_info,
        speaks_http,
        speaks_noise,
        speaks_without_end,
        says_no_json,
        says_a_list,
        never_says_pong,
        says_noise_for_pong,
        says_nothing,
    ],
)
@pytest.mark.parametrize("tls", [False, True])
async def test_unknown_server_fails_in_time(handler: Handler, tls: bool) -> None:
    async with listening(handler) as stranger:
        text, error, took = await refused(
            stranger, tls={"enable": tls}, timeout={"connection": "500ms"}
        )
        assert stranger.name in text
        assert text.isprintable()
        assert len(text) < 500
        assert took < 1.5
        if handler is speaks_without_end:
            assert "broke the protocol" in text
        if handler in (says_nothing, never_says_pong) and not tls:
            assert isinstance(error, ConnectTimeout)
            assert isinstance(error, TimeoutError)
            assert "no answer within 0.5 s (timeout.connection)" in text
