"""The slow lane: nats-py alone, for versions of it that the fast lane does not know.

Nothing is promised less here, it only takes longer; except that ``capacity.read-buffer`` is
nats-py's own constant, and that TLS must come first (``tls.handshake-first``) where it is demanded:
from outside nats-py cannot be kept from sending credentials in the clear to a server that does not
offer TLS.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from nats.aio.msg import Msg

from fastcoord._deadline import within
from fastcoord._frames import Sealed
from fastcoord._splitter import Sink
from fastcoord.errors import TlsError
from fastcoord.transport.failures import describe
from fastcoord.transport.link import Link, LinkOwner, Note, Server

if TYPE_CHECKING:
    from fastcoord._inbox import Inbox
    from fastcoord.config import Config

__all__ = ["SlowLink"]

MOST_WAITING = 64
"""Messages and PINGs that wait to be written, at which more are kept in the queue before."""


class SlowLink(Link):
    """A connection that is nats-py's own."""

    def __init__(self, config: Config, server: Server, inbox: Sink, owner: LinkOwner) -> None:
        super().__init__(config, server, inbox, owner)
        self._inbox = cast("Inbox", inbox)
        self._waiting: deque[Callable[[], object]] = deque()
        self._work = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def _dial(self) -> None:
        if self._demands_tls and not self._config.nats.tls.handshake_first:
            raise TlsError(
                "this version of nats-py cannot be kept from sending credentials in the clear:"
                " install the one that fastcoord asks for, or set tls.handshake-first"
            )
        # nats-py would try a server that is not there until the time is over; this says why.
        address = self.server.address
        _, stream = await asyncio.open_connection(address.host, address.port)
        stream.close()
        await stream.wait_closed()

    async def _open(self) -> None:
        await super()._open()
        self._writer = asyncio.create_task(self._write(), name="fastcoord slow lane")

    @property
    def is_writable(self) -> bool:
        return len(self._waiting) < MOST_WAITING

    # ------------------------------------------------------------------------ writing

    def _do(self, work: Callable[[], object]) -> None:
        self._waiting.append(work)
        self._work.set()

    async def _write(self) -> None:
        """Do what waits, in order, and notice when the client has lost its connection."""
        while True:
            try:
                await within(self._work.wait(), self._config.cluster.heartbeat / 4)
            except TimeoutError:
                if not self._client.is_connected:
                    break
                continue
            was_writable = self.is_writable
            try:
                while self._waiting:
                    result = self._waiting.popleft()()
                    if asyncio.iscoroutine(result):
                        await result
            except Exception as error:  # noqa: BLE001
                # Whatever it was, this connection cannot be relied on any more.
                self._reason = self._reason or describe(error)
                break
            self._work.clear()
            if not was_writable:
                self._owner.link_writable()
        self._lost(self._client.last_error)

    def subscribe(self, subject: str, sid: int) -> None:
        async def take(message: Msg) -> None:
            self._owner.link_read()
            header = message.headers or {}
            numbers = parse_numbers(header.get("Fastcoord"))
            note = header.get("Fastcoord-Note")
            self._inbox.accept(sid, message.reply.encode(), numbers, message.data, note)

        self._do(lambda: self._client.subscribe(subject, cb=take))

    def publish(
        self,
        incarnation: int,
        discarded: int,
        batches: list[Sealed],
        *,
        note: Note = None,
        answered: Callable[[], None] | None = None,
    ) -> int:
        for batch in batches:
            headers = {"Fastcoord": f"{incarnation}.{batch.offset}.{batch.count}.{discarded}"}
            if note is not None:
                headers["Fastcoord-Note"] = note
            self._do(
                lambda batch=batch, headers=headers: self._client.publish(  # type: ignore[misc]
                    self._subject, batch.payload, headers=headers
                )
            )
        if answered is not None:
            self.ping(answered)
        return sum(len(batch.payload) for batch in batches)

    def publish_raw(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        self._do(lambda: self._client.publish(subject.decode(), payload, reply=reply.decode()))

    def ping(self, answered: Callable[[], None]) -> None:
        async def confirm() -> None:
            # nats-py writes a PING ahead of what it has not written yet.
            while self._client.pending_data_size:  # noqa: ASYNC110 - it announces no change
                await asyncio.sleep(0)
            await self._client.flush(max(1, round(self._config.nats.timeout.request)))
            self._owner.link_read()
            answered()

        self._do(confirm)

    # ------------------------------------------------------------------------ ending

    def abort(self, reason: str) -> None:
        self._reason = reason
        self._lost(None)

    async def reap(self) -> None:
        if self._writer is not None and self._writer is not asyncio.current_task():
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        if self._is_started:
            await self._client.close()


def parse_numbers(value: str | None) -> tuple[int, int, int, int] | str | None:
    """Read the numbering of a header as ``Inbox.accept`` takes it."""
    if value is None:
        return None
    parts = value.strip().split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
        return "malformed"
    incarnation, offset, count, discarded = map(int, parts)
    if max(incarnation, offset + count, discarded) >= 1 << 64:
        return "malformed"
    return (incarnation, offset, count, discarded)
