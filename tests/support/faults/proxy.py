"""A TCP proxy in front of a server that delays, loses, damages and cuts like a network."""

import asyncio
import contextlib
import inspect
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any

from fastcoord.server.ports import reserve
from support.faults.frames import Frame, FrameParser
from support.wait import until

Filtered = Frame | None | Iterable[Frame]
Filter = Callable[[Frame], Filtered | Awaitable[Filtered]]

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Direction:
    """One direction of all connections.

    ``filter`` is called with each whole frame and returns what is forwarded instead: a frame, a
    list of frames, or ``None``. It may be async; later frames wait for it. Bytes that are no
    frames, as under TLS, are not filtered.
    """

    def __init__(self) -> None:
        self.filter: Filter | None = None
        self.bytes = 0
        """The number of bytes forwarded."""
        self.frames = 0
        """The number of frames received, forwarded or not."""
        self.swallowed = 0
        """The number of bytes swallowed."""
        self._cut_after: int | None = None
        self._swallowing = False
        self._open = asyncio.Event()
        self._open.set()

    def pause(self) -> None:
        """Stop forwarding, as a full network does; nothing is lost."""
        self._open.clear()

    def swallow(self) -> None:
        """Lose all data while the sockets stay open, as behind a dead router.

        Only whole frames are lost, so that the stream is valid after :meth:`resume`.
        """
        self._swallowing = True
        self._open.set()

    def resume(self) -> None:
        """Forward again, data that was held back first."""
        self._swallowing = False
        self._open.set()

    def cut_after(self, count: int) -> None:
        """Cut the connection right after ``count`` more bytes."""
        self._cut_after = count

    async def _pass(self, piece: Frame | bytes, writer: asyncio.StreamWriter) -> None:
        pieces: list[Frame | bytes] = [piece]
        if isinstance(piece, Frame):
            self.frames += 1
            if self.filter is not None:
                result = self.filter(piece)
                if inspect.isawaitable(result):
                    result = await result
                pieces = _as_list(result)
        await self._open.wait()
        for each in pieces:
            raw = each.raw if isinstance(each, Frame) else each
            if writer.is_closing():
                # asyncio drops what is written now, and uvloop raises a RuntimeError.
                raise ConnectionAbortedError("the other side was cut")
            if self._swallowing:
                self.swallowed += len(raw)
                continue
            if self._cut_after is not None:
                raw, enough = raw[: self._cut_after], len(raw) >= self._cut_after
                self._cut_after = None if enough else self._cut_after - len(raw)
                self.bytes += len(raw)
                writer.write(raw)
                if enough:
                    await writer.drain()
                    raise ConnectionAbortedError("cut after the requested byte")
                continue
            self.bytes += len(raw)
            writer.write(raw)


class Proxy:
    """Forward between clients and a server, on a port of its own.

    ::

        async with Proxy(server.host, server.port) as proxy:
            ...                                 # clients connect to proxy.port
            proxy.to_server.swallow()

    A server in a cluster announces the addresses of other servers, which bypass the proxy.

    :param host: the server's address.
    :param port: the server's port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.to_server = Direction()
        self.to_client = Direction()
        self.accepted = 0
        """The number of connections accepted."""
        self._failure: Exception | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._reserved = contextlib.ExitStack()
        """Keeps the port while connections are refused."""

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        assert self._port, "the proxy has not been started"
        return self._port

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    def cut(self, *, reset: bool = False) -> int:
        """Close every connection at once.

        :param reset: whether clients and server see a reset instead of an orderly end.
        :return: the number of connections closed.
        """
        for task, writers in self._connections.items():
            for writer in writers:
                _abort(writer, reset=reset)
            task.cancel()
        return len(self._connections)

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            # uvloop closes the listener later.
            with contextlib.suppress(OSError):
                self._reserved.enter_context(reserve(self.host, self._port))

    async def accept(self) -> None:
        """Accept new connections again, on the same port."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, self.host, self._port)
            self._port = self._listener.sockets[0].getsockname()[1]
            self._reserved.close()

    async def __aenter__(self) -> "Proxy":
        await self.accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()
        self._reserved.close()
        self.cut()
        await until(lambda: not self._connections, because="every connection of the proxy ended")
        if self._failure is not None and error is None:
            raise self._failure

    async def _serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        writers = self._connections[task] = [to_client]
        self.accepted += 1
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                from_server, to_server = await asyncio.open_connection(*self.target)
                writers.append(to_server)
                await _first_to_end(
                    _pump(self.to_server, from_client, to_server),
                    _pump(self.to_client, from_server, to_client),
                )
        except Exception as error:  # noqa: BLE001 - an error in a filter must not look like a network fault
            self._failure = error
        finally:
            for writer in writers:
                await _close(writer)
            del self._connections[task]


async def _pump(
    direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    parser = FrameParser()
    while data := await reader.read(65536):
        for piece in parser.feed(data):
            await direction._pass(piece, writer)
        await writer.drain()
    await direction._pass(parser.rest(), writer)
    await writer.drain()


async def _first_to_end(*pumps: Any) -> None:
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, OSError):
                raise result


def _as_list(result: Any) -> list[Frame | bytes]:
    if result is None:
        return []
    return [result] if isinstance(result, Frame) else list(result)


def _abort(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    connection = writer.get_extra_info("socket")
    if reset and connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()
