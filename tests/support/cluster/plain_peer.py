"""A plain NATS client in the role of a Stalwart node: it sends and receives payloads."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

TIMEOUT = 60
"""Seconds; long, because a busy machine may need some of them."""


@dataclass(frozen=True)
class PlainMessage:
    """One received message."""

    subject: str
    payload: bytes
    header: dict[str, str]


class PlainPeer:
    """Publish raw payloads on a subject and record all messages that arrive on it.

    ::

        async with PlainPeer(server.url) as stalwart:
            await stalwart.publish(bytes.fromhex("0706"))
            await until(lambda: stalwart.messages)

    :param url: the server's address.
    :param subject: the subject to publish and subscribe.
    :param options: those of ``nats.connect``.
    """

    def __init__(self, url: str, subject: str = "stwt.agora", **options: Any) -> None:
        self.subject = subject
        self.messages: list[PlainMessage] = []
        self._url = url
        self._options = {"no_echo": True, "allow_reconnect": False, "drain_timeout": 5, **options}
        self._options = {"connect_timeout": TIMEOUT, **self._options}
        self._client: Client | None = None

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    @property
    def client(self) -> Client:
        assert self._client is not None, "not connected"
        return self._client

    async def publish(self, *payloads: bytes, header: dict[str, str] | None = None) -> None:
        """Publish each payload and wait until the server has received them."""
        for payload in payloads:
            await self.client.publish(self.subject, payload, headers=header)
        await self.flush()

    async def flush(self) -> None:
        """Wait until the server has received all data sent before."""
        # The client sends the PING of its first flush before the pending data.
        await self.client.flush(TIMEOUT)
        await self.client.flush(TIMEOUT)

    async def __aenter__(self) -> "PlainPeer":
        self._client = await nats.connect(self._url, **self._options)
        await self.client.subscribe(self.subject, cb=self._keep)
        await self.flush()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.client.close()

    async def _keep(self, message: Msg) -> None:
        self.messages.append(
            PlainMessage(message.subject, bytes(message.data), dict(message.headers or {}))
        )
