"""The received bytes that nats-py's client has not read yet."""

from __future__ import annotations

import asyncio

__all__ = ["ControlBytes"]

MAX_CONTROL_BYTES = 1 << 20
"""The limit for all lines that nats-py has not read. A large cluster's INFO takes kilobytes."""


class ControlBytes:
    """Store the bytes of the handshake and of control lines until nats-py's client reads them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._bytes = bytearray()
        self._readable: asyncio.Future[None] | None = None
        self._is_ended = False

    def __len__(self) -> int:
        return len(self._bytes)

    def append(self, data: bytes) -> bool:
        """Store received bytes.

        :return: false if there are too many already; then nothing is stored.
        """
        if len(self._bytes) + len(data) > MAX_CONTROL_BYTES:
            return False
        self._bytes += data
        self._wake()
        return True

    def end(self) -> None:
        """Wake the reader: the connection is closed, and no more bytes arrive."""
        self._is_ended = True
        self._wake()

    def take(self) -> bytes:
        """Return all bytes and forget them."""
        data = bytes(self._bytes)
        self._bytes.clear()
        return data

    async def read(self) -> bytes:
        """Wait for bytes and return all of them; none if the connection is closed."""
        while not self._bytes and not self._is_ended:
            await self._wait()
        return self.take()

    async def readline(self) -> bytes | None:
        """Wait for a line and return it with its line end; ``None`` if the connection is closed."""
        while b"\n" not in self._bytes:
            if self._is_ended:
                return None
            await self._wait()
        size = self._bytes.index(b"\n") + 1
        line = bytes(self._bytes[:size])
        del self._bytes[:size]
        return line

    async def _wait(self) -> None:
        self._readable = self._loop.create_future()
        await self._readable

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)
