"""A server that does a whole handshake up to a chosen byte, and then stops in a chosen way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from types import TracebackType
from typing import Literal

from support.servers.certificates import Certificates

End = Literal["silence", "fin", "rst"]

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
INFO = {"server_id": "x", "version": "2.12.0", "max_payload": 1 << 20, "headers": True}
PLAIN = b"INFO " + json.dumps(INFO).encode() + b"\r\n"
SECURE = b"INFO " + json.dumps({**INFO, "tls_required": True}).encode() + b"\r\n"


class InterruptedServer:
    """Answer a client byte for byte like a NATS server, and stop after ``stop_after`` bytes.

    :ivar stop_after: how many bytes to send on each connection; ``None`` for all.
    :ivar sent: the bytes that the last connection was sent.
    :ivar accepted: how many connections were accepted.

    :param end: what happens then: nothing more is sent, the connection is closed, or it is reset.
    :param certificates: to speak TLS after INFO.
    """

    def __init__(self, end: End, certificates: Certificates | None = None) -> None:
        self.end = end
        self.stop_after: int | None = None
        self.sent = 0
        self.accepted = 0
        self._context: ssl.SSLContext | None = None
        if certificates is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificates.server.cert, certificates.server.key)
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"nats://{host}:{port}"

    async def __aenter__(self) -> InterruptedServer:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        if self._writers:
            # Each has ended, because the client has closed its end.
            await asyncio.wait_for(asyncio.gather(*self._writers), 60)

    def cut(self) -> None:
        """Close every connection."""
        for writer in self._writers.values():
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._writers[task] = writer
        task.add_done_callback(self._writers.pop)
        self.accepted += 1
        self.sent = 0
        with contextlib.suppress(OSError, ssl.SSLError):
            if self._context is None:
                await self._converse(reader, writer)
            else:
                await self._converse_securely(reader, writer, self._context)
        if self.end == "rst":
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _send(
        self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send what may be sent; return whether the handshake goes on."""
        left = len(data) if self.stop_after is None else self.stop_after - self.sent
        writer.write(data[:left])
        self.sent += min(left, len(data))
        await writer.drain()
        if left > len(data) or self.stop_after is None:
            return True
        if self.end == "silence":
            while await reader.read(65536):
                pass
        return False

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._send(PLAIN, reader, writer):
            return
        while line := await reader.readline():
            if line == b"PING\r\n" and not await self._send(b"PONG\r\n", reader, writer):
                return

    async def _converse_securely(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
    ) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        if not await self._send(SECURE, reader, writer):
            return
        lines = b""
        is_secure = False
        while data := await reader.read(65536):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                if not is_secure:
                    tls.do_handshake()
                    is_secure = True
                while True:
                    lines += tls.read(65536)
            while b"\n" in lines:
                line, _, lines = lines.partition(b"\n")
                if line == b"PING\r":
                    tls.write(b"PONG\r\n")
            if outgoing.pending and not await self._send(outgoing.read(), reader, writer):
                return
