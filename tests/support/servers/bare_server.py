"""A minimal NATS server that sends the lines a test asks for and records its connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Any, Literal

from support.faults.frames import Frame, FrameParser
from support.wait import until

Manner = Literal["serve", "refuse", "mute"]


class BareServer:
    """Accept nodes, answer their handshake and PINGs, and forward no message.

    :ivar manner: ``"serve"``; ``"refuse"``: close each new connection at once; ``"mute"``: accept
        it and send nothing.
    :ivar attempts: the time of each connection, on the event loop's clock, in seconds.
    :ivar connects: the JSON object of each CONNECT.
    :ivar frames: all frames that clients sent.
    """

    host = "127.0.0.1"

    def __init__(self, **info: Any) -> None:
        self.manner: Manner = "serve"
        self.attempts: list[float] = []
        self.connects: list[dict[str, Any]] = []
        self.frames: list[Frame] = []
        self._info = {"server_id": "scripted", "version": "2.12.0", "headers": True, **info}
        self._info.setdefault("max_payload", 1024 * 1024)
        self._listener: asyncio.Server | None = None
        self._writers: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def send(self, line: str) -> None:
        """Send one line to every client."""
        for writer in self._writers.values():
            writer.write(line.encode() + b"\r\n")

    async def drop(self) -> None:
        """Close every connection after all written data is sent."""
        for writer in list(self._writers.values()):
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

    async def __aenter__(self) -> BareServer:
        self._listener = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._writers:
            task.cancel()
        await until(lambda: not self._writers, because="every connection of the script ended")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.attempts.append(asyncio.get_running_loop().time())
        self._writers[task] = writer
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if self.manner == "serve":
                    writer.write(b"INFO " + json.dumps(self._info).encode() + b"\r\n")
                if self.manner != "refuse":
                    await self._converse(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            del self._writers[task]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = FrameParser()
        while data := await reader.read(65536):
            for frame in parser.feed(data):
                if not isinstance(frame, Frame):
                    continue
                self.frames.append(frame)
                if self.manner == "mute":
                    continue
                if frame.verb == "CONNECT":
                    self.connects.append(json.loads(frame.raw[len("CONNECT ") :]))
                elif frame.verb == "PING":
                    writer.write(b"PONG\r\n")
