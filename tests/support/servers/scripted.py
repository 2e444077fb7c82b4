"""A server that does the NATS handshake and then sends any bytes that a test gives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Any


class ScriptedServer:
    """Accept nodes, answer their PINGs, record their lines, and send them any bytes.

    :param info: further keys of INFO.
    :param greeting: bytes to answer CONNECT with.
    """

    def __init__(self, *, greeting: bytes | None = None, **info: Any) -> None:
        self.lines: list[bytes] = []
        """Every received line, lines of payloads included."""
        self.accepted = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.greeting = greeting
        self._info = {"server_id": "x", "version": "2.12.0", "max_payload": 1 << 20, **info}
        self._info["headers"] = True
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"nats://{self.name}"

    @property
    def name(self) -> str:
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """Send bytes to every node that is connected."""
        for writer in self.writers:
            writer.write(data)

    def drop(self) -> None:
        """Close every connection."""
        for writer in self.writers:
            writer.close()

    def close(self) -> None:
        """Close every connection and accept no other."""
        self._listener.close()
        self.drop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self.writers.append(writer)
        writer.write(b"INFO " + json.dumps(self._info).encode() + b"\r\n")
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.lines.append(line)
                if line.upper() == b"PING\r\n":
                    writer.write(b"PONG\r\n")
                elif line.startswith(b"CONNECT ") and self.greeting is not None:
                    writer.write(self.greeting)
        self.writers.remove(writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def __aenter__(self) -> ScriptedServer:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 60)
