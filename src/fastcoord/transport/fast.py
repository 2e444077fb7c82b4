"""The fast lane: nats-py for the handshake and the server's own messages, ours for all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastcoord._frames import Sealed, compose
from fastcoord.transport.lane import Lane
from fastcoord.transport.link import Link, LinkOwner, Note, Server
from fastcoord.transport.seams import drop_transport, use_transport

if TYPE_CHECKING:
    from fastcoord._splitter import Sink
    from fastcoord.config import Config

__all__ = ["FastLink"]


class FastLink(Link):
    """A connection whose messages never pass through nats-py."""

    def __init__(self, config: Config, server: Server, inbox: Sink, owner: LinkOwner) -> None:
        super().__init__(config, server, inbox, owner)
        self._subject_bytes = self._subject.encode()
        self._lane = Lane(
            inbox,
            read_size=config.nats.capacity.read_buffer,
            demand_tls=self._demands_tls,
            before_read=owner.link_read,
            on_lost=self._lost,
            on_writable=owner.link_writable,
        )
        use_transport(self._client, self._lane)

    async def _dial(self) -> None:
        await self._lane.dial(self.server.address.host, self.server.address.port)

    async def _open(self) -> None:
        await super()._open()
        self._lane.open_to_messages(self.max_payload)

    @property
    def is_writable(self) -> bool:
        return self._lane.is_writable

    def subscribe(self, subject: str, sid: int) -> None:
        self._lane.send(f"SUB {subject} {sid}\r\n".encode())

    def publish(
        self,
        incarnation: int,
        discarded: int,
        batches: list[Sealed],
        *,
        note: Note = None,
        answered: Callable[[], None] | None = None,
    ) -> int:
        ping = answered is not None
        frames = compose(self._subject_bytes, incarnation, discarded, batches, note=note, ping=ping)
        self._lane.send(frames, answered)
        return len(frames)

    def publish_raw(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        words = b" ".join([b"PUB", subject, *([reply] if reply else []), b"%d" % len(payload)])
        self._lane.send(words + b"\r\n" + payload + b"\r\n")

    def ping(self, answered: Callable[[], None]) -> None:
        self._lane.ping(answered)

    def abort(self, reason: str) -> None:
        self._reason = reason
        self._lane.abort()
        if self._lane.is_closed:
            # It was gone already, so that nothing else will come and say so.
            self._lost(None)

    async def reap(self) -> None:
        self._lane.abort()
        if self._is_started:
            await self._client.close()
        await self._lane.wait_closed()
        # The client and the lane hold each other; apart, both go at once and not at the next
        # collection, and with them what TLS has loaded.
        drop_transport(self._client)
