"""One connection to one server, from the first byte to the last: what all kinds of it share."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from nats.aio.client import Client

from fastcoord._deadline import within
from fastcoord._frames import Sealed
from fastcoord.errors import ConfigError, ConnectError
from fastcoord.transport.failures import describe, explain
from fastcoord.transport.options import client_options

if TYPE_CHECKING:
    from fastcoord._splitter import Sink
    from fastcoord.config import Address, Config

__all__ = ["EVENTS_SID", "Link", "LinkOwner", "Note", "Server"]

EVENTS_SID = 1

LEAST_MAX_PAYLOAD = 512
"""Bytes; below it hardly an event fits beside the header."""
HOST = re.compile(r"[0-9A-Za-z._:%-]{1,253}")

Note = Literal["resend", "goodbye", "hello"] | None
"""What a batch says of itself in the second header."""


class LinkOwner(Protocol):
    """Whom a link tells what happens to it; every method is called on the event loop."""

    def link_read(self) -> None:
        """Hear that bytes have arrived and are about to be looked at."""

    def link_writable(self) -> None:
        """Hear that the socket takes bytes again."""

    def link_lost(self, link: Link, reason: str) -> None:
        """Hear, once, that the link is gone."""

    def link_leaving(self, link: Link) -> None:
        """Hear that the server is about to leave (lame-duck mode)."""

    def link_servers(self, link: Link) -> None:
        """Hear that the server announced other members of its cluster."""

    def link_refused(self, link: Link, reason: str) -> None:
        """Hear that the server refused something without closing the connection."""


class Server:
    """A server that can be tried.

    :ivar address: where it is.
    :ivar name: the host name that its certificate must carry, when that is not the address's host.
    :ivar announced: whether the cluster named it, and not the configuration.
    """

    __slots__ = ("address", "announced", "name")

    def __init__(
        self, address: Address, *, name: str | None = None, announced: bool = False
    ) -> None:
        self.address = address
        self.name = name
        self.announced = announced

    def __str__(self) -> str:
        return str(self.address)


class Link(ABC):
    """One connection to one server.

    :param config: the configuration.
    :param server: the server to join.
    :param inbox: takes the messages.
    :param owner: hears what happens.
    """

    def __init__(self, config: Config, server: Server, inbox: Sink, owner: LinkOwner) -> None:
        self.server = server
        self._config = config
        self._owner = owner
        self._subject = config.cluster.subject
        self._is_up = False
        self._is_done = False
        self._is_started = False
        self._was_lost_early = False
        self._reason: str | None = None
        self._client = Client()

    @property
    def _demands_tls(self) -> bool:
        return self._config.nats.tls.enable or self.server.address.tls

    # ------------------------------------------------------------------------ opening

    async def open(self) -> None:
        """Connect, secure, authenticate: all within ``timeout.connection``.

        :raises ConnectError: with the reason, without the server's name; ``TimeoutError`` when the
            time is over.
        """
        try:
            await within(self._open(), self._config.nats.timeout.connection)
            if self._was_lost_early:
                raise ConnectError(f"lost right after the handshake: {self._reason}")
        except BaseException:
            await self.close()
            raise
        self._is_up = True

    async def _open(self) -> None:
        options = client_options(self._config, f"nats://{self.server}", self.server.name)
        options["error_cb"] = self._on_error
        options["lame_duck_mode_cb"] = self._on_lame_duck
        options["discovered_server_cb"] = self._on_discovered
        try:
            await self._dial()
            self._is_started = True
            await self._client.connect(**options)
        except (ConfigError, asyncio.CancelledError):
            raise
        except asyncio.TimeoutError as error:
            # Before Python 3.11 this was not yet the built-in one.
            raise TimeoutError("no answer from the server") from error
        except Exception as error:
            # Whatever a stranger at the other end makes the client library raise costs this
            # attempt, and never the task that looks for a connection.
            raise explain(error) from error
        if not self._client.is_connected:
            raise ConnectError(self._reason or "the server answered something that is not NATS")
        if self.max_payload < LEAST_MAX_PAYLOAD:
            raise ConnectError(
                f"the server's max_payload of {self.max_payload} bytes is too small for batches:"
                f" at least {LEAST_MAX_PAYLOAD} are needed"
            )

    @abstractmethod
    async def _dial(self) -> None:
        """Find out whether anyone is there, and prepare the client for it."""

    # ------------------------------------------------------------------------ using

    @property
    def max_payload(self) -> int:
        """What the server takes in one message, headers included, in bytes."""
        return int(self._client.max_payload)

    @property
    def is_up(self) -> bool:
        return self._is_up and not self._is_done

    @property
    @abstractmethod
    def is_writable(self) -> bool:
        """Whether the connection takes more; when not, batches are better kept in the queue."""

    @abstractmethod
    def subscribe(self, subject: str, sid: int) -> None:
        """Hear a subject under a number of our choosing."""

    @abstractmethod
    def publish(
        self,
        incarnation: int,
        discarded: int,
        batches: list[Sealed],
        *,
        note: Note = None,
        answered: Callable[[], None] | None = None,
    ) -> int:
        """Send batches in their order.

        :param answered: called when the server has taken them.
        :return: how many bytes that takes.
        """

    def publish_empty(
        self,
        payload: bytes,
        incarnation: int,
        offset: int,
        discarded: int,
        *,
        note: Note = None,
    ) -> None:
        """Send a batch without events: a heartbeat, or goodbye."""
        self.publish(incarnation, discarded, [Sealed(payload, offset, 0)], note=note)

    @abstractmethod
    def publish_raw(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Send one message to another subject; both subjects must be free of blanks."""

    @abstractmethod
    def ping(self, answered: Callable[[], None]) -> None:
        """Have ``answered`` called when the server has taken everything sent so far."""

    def announced(self) -> list[Server]:
        """Give the servers that the cluster has announced on this connection."""
        address = self.server.address
        found = []
        for uri in self._client.discovered_servers:
            try:
                host, port = uri.hostname, uri.port
            except ValueError:  # a port that is none
                continue
            # What the network says is dialled, and named in logs: nothing else passes for a host.
            if host is None or not port or not HOST.fullmatch(host):
                continue
            # A certificate rarely carries an address: the name that was dialled holds for all.
            name = self.server.name or address.host
            found.append(
                Server(
                    type(address)(host=host, port=port, tls=address.tls),
                    name=name if is_numeric(host) else None,
                    announced=True,
                )
            )
        return found

    # ------------------------------------------------------------------------ ending

    @abstractmethod
    def abort(self, reason: str) -> None:
        """Drop the connection now; the owner hears of it with this reason."""

    async def close(self) -> None:
        """Drop the connection and wait until nothing of it is left; the owner hears nothing."""
        self._is_done = True
        await self.reap()

    @abstractmethod
    async def reap(self) -> None:
        """Wait until nothing of a connection that was lost or dropped is left."""

    def _lost(self, error: Exception | None) -> None:
        if self._is_done:
            return
        self._reason = self._reason or describe(error or self._client.last_error)
        if not self._is_up:
            # Nobody uses it yet: whoever opens it is told there.
            self._was_lost_early = True
            return
        self._is_done = True
        self._owner.link_lost(self, self._reason)

    async def _on_error(self, error: Exception) -> None:
        if self._is_up and not self._is_done and "permissions violation" in str(error).lower():
            self._owner.link_refused(self, describe(error))

    async def _on_lame_duck(self) -> None:
        if self.is_up:
            self._owner.link_leaving(self)

    async def _on_discovered(self) -> None:
        if self.is_up:
            self._owner.link_servers(self)


def is_numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
