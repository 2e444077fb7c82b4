"""One connection to one server, from the first byte to the last."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import nats.errors
from nats.aio.client import Client

from fastcoord._frames import Sealed, compose
from fastcoord.config import split_credentials
from fastcoord.errors import AuthenticationFailed, ConfigError, ConnectError, TlsError
from fastcoord.transport.lane import Lane

if TYPE_CHECKING:
    from fastcoord._frames import Sink
    from fastcoord.config import Address, Config

__all__ = ["EVENTS_SID", "Link", "LinkOwner", "Server"]

EVENTS_SID = 1
CALL_FAILED = re.compile(r"\[Errno (\d+)\] Connect call failed \('([^']*)'[^)]*\)")

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


class Link:
    """One connection to one server."""

    def __init__(self, config: Config, server: Server, sink: Sink, owner: LinkOwner) -> None:
        self.server = server
        self._config = config
        self._owner = owner
        self._subject = config.cluster.subject.encode()
        self._is_up = False
        self._is_done = False
        self._is_started = False
        self._refusal: str | None = None
        settings = config.nats
        self._lane = Lane(
            sink,
            read_size=settings.capacity.read_buffer,
            demand_tls=settings.tls.enable or server.address.tls,
            before_read=owner.link_read,
            on_lost=self._lost,
            on_writable=owner.link_writable,
        )
        self._client = Client()
        # The only private name of nats-py that is used: it reads and writes through what it finds
        # there. `seams.py` checks at start that it still does.
        self._client._transport = self._lane

    # ------------------------------------------------------------------------ opening

    async def open(self) -> None:
        """Connect, secure, authenticate: all within ``timeout.connection``.

        :raises ConnectError: with the reason, without the server's name; ``TimeoutError`` when the
            time is over.
        """
        try:
            await asyncio.wait_for(self._open(), self._config.nats.timeout.connection)
        except BaseException:
            await self.close()
            raise
        self._is_up = True

    async def _open(self) -> None:
        address = self.server.address
        options = self._options()
        try:
            await self._lane.dial(address.host, address.port)
            self._is_started = True
            await self._client.connect(**options)
        except (ConfigError, asyncio.CancelledError, asyncio.TimeoutError):
            raise
        except Exception as error:
            # Whatever a stranger at the other end makes the client library raise costs this
            # attempt, and never the task that looks for a connection.
            raise explain(error) from error
        if not self._client.is_connected:
            raise ConnectError(self._refusal or "the server answered something that is not NATS")
        self._lane.open_to_messages(self.max_payload)

    def _options(self) -> dict[str, Any]:
        settings = self._config.nats
        address = self.server.address
        options: dict[str, Any] = {
            "servers": [f"nats://{address}"],
            "allow_reconnect": False,
            "connect_timeout": settings.timeout.connection,
            "ping_interval": settings.ping_interval,
            "max_outstanding_pings": 2,
            "no_echo": settings.no_echo,
            "name": f"fastcoord node {self._config.cluster.node_id}",
            "error_cb": self._on_error,
            "lame_duck_mode_cb": self._on_lame_duck,
            "discovered_server_cb": self._on_discovered,
            "tls": tls_context(self._config),
            "tls_handshake_first": settings.tls.handshake_first,
        }
        if self.server.name is not None:
            options["tls_hostname"] = self.server.name
        # Secrets are read anew at each attempt: they may have been exchanged in the meantime.
        if settings.user is not None and settings.password is not None:
            options["user"] = settings.user
            options["password"] = settings.password.reveal()
        elif settings.credentials is not None:
            options.update(credential_options(settings.credentials.reveal()))
        return options

    # ------------------------------------------------------------------------ using

    @property
    def max_payload(self) -> int:
        """What the server takes in one message, headers included, in bytes."""
        return int(self._client.max_payload)

    @property
    def is_up(self) -> bool:
        return self._is_up and not self._is_done

    @property
    def is_writable(self) -> bool:
        """Whether the socket takes more bytes; when not, batches are better kept in the queue."""
        return self._lane.is_writable

    @property
    def client_id(self) -> int | None:
        """The number by which the server's monitoring knows this connection."""
        return self._client.client_id

    def subscribe(self, subject: str, sid: int) -> None:
        """Hear a subject under a number of our choosing."""
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
        """Write batches, in their order, in one write.

        :param answered: called when the server has taken them; a PING then goes with them.
        :return: how many bytes were written.
        """
        frames = compose(
            self._subject, incarnation, discarded, batches, note=note, ping=answered is not None
        )
        self._lane.send(frames, answered)
        return len(frames)

    def publish_empty(
        self,
        payload: bytes,
        incarnation: int,
        offset: int,
        discarded: int,
        *,
        note: Note = None,
    ) -> None:
        """Write a batch without events: a heartbeat, or goodbye."""
        self.publish(incarnation, discarded, [Sealed(payload, offset, 0)], note=note)

    def publish_raw(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Write one message to another subject; both subjects must be free of blanks."""
        words = b" ".join([b"PUB", subject, *([reply] if reply else []), b"%d" % len(payload)])
        self._lane.send(words + b"\r\n" + payload + b"\r\n")

    def ping(self, answered: Callable[[], None]) -> None:
        """Have ``answered`` called when the server has taken everything written so far."""
        self._lane.ping(answered)

    def announced(self) -> list[Server]:
        """Give the servers that the cluster has announced on this connection."""
        address = self.server.address
        found = []
        for uri in self._client.discovered_servers:
            if uri.hostname is None or uri.port is None:
                continue
            # A certificate rarely carries an address: the name that was dialled holds for all.
            name = self.server.name or address.host
            found.append(
                Server(
                    type(address)(host=uri.hostname, port=uri.port, tls=address.tls),
                    name=name if is_numeric(uri.hostname) else None,
                    announced=True,
                )
            )
        return found

    # ------------------------------------------------------------------------ ending

    def abort(self, reason: str) -> None:
        """Drop the connection now; the owner hears of it with this reason."""
        self._refusal = reason
        self._lane.abort()

    async def close(self) -> None:
        """Drop the connection and wait until nothing of it is left; the owner hears nothing."""
        self._is_done = True
        self._lane.abort()
        await self.reap()

    def _lost(self, error: Exception | None) -> None:
        if self._is_done or not self._is_up:
            return
        self._is_done = True
        self._owner.link_lost(self, self._refusal or describe(error or self._client.last_error))

    async def _on_error(self, error: Exception) -> None:
        if self._is_up and not self._is_done and "permissions violation" in str(error).lower():
            self._owner.link_refused(self, describe(error))

    async def _on_lame_duck(self) -> None:
        if self.is_up:
            self._owner.link_leaving(self)

    async def _on_discovered(self) -> None:
        if self.is_up:
            self._owner.link_servers(self)

    async def reap(self) -> None:
        """Wait until nothing of a lost connection is left."""
        if self._is_started:
            await self._client.close()
        await self._lane.wait_closed()


def is_numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def tls_context(config: Config) -> ssl.SSLContext:
    """Make the context for one attempt; files are read anew, they may have been renewed.

    :raises ConnectError: a file cannot be read or is not what it should be.
    """
    files = config.nats.tls
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
        if files.cert_file is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"the TLS files cannot be used: {describe(error)}") from error
    return context


def credential_options(text: str) -> dict[str, Any]:
    """Give nats-py's options for a checked credentials text."""
    try:
        credentials = split_credentials(text)
    except ValueError as error:
        raise AuthenticationFailed(str(error)) from None

    def sign(nonce: str) -> bytes:
        if credentials.seed is None:
            return b""
        import base64

        import nkeys

        pair = nkeys.from_seed(bytearray(credentials.seed, "ascii"))
        signature = base64.b64encode(pair.sign(nonce.encode()))
        pair.wipe()
        return signature

    return {"user_jwt_cb": lambda: bytearray(credentials.jwt, "ascii"), "signature_cb": sign}


def explain(error: Exception) -> ConnectError | ConfigError:
    """Turn what an attempt ended with into the exception that fits."""
    if isinstance(error, ConnectError | ConfigError):
        return error
    text = describe(error)
    if isinstance(error, ssl.SSLError):
        return TlsError(text)
    if "authorization violation" in text.lower() or "authentication" in text.lower():
        return AuthenticationFailed(f"the server refused the credentials ({text})")
    return ConnectError(text)


def describe(error: BaseException | None) -> str:
    """Say in a few words what went wrong, in one line that holds nothing but printable text."""
    if error is None:
        return "the server closed the connection"
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the server's certificate is not accepted: {error.verify_message or error}"
    elif isinstance(error, nats.errors.StaleConnectionError):
        text = "the server left two PINGs unanswered"
    elif isinstance(error, nats.errors.UnexpectedEOF):
        text = "the server closed the connection"
    elif isinstance(error, TimeoutError | asyncio.TimeoutError):
        text = "no answer in time"
    elif isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # Not strerror: asyncio puts "Connect call failed" there, which does not say why.
        text = os.strerror(error.errno)
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error).removeprefix("nats: ") or type(error).__name__
        # What asyncio says of a name with several addresses, none of which can be reached.
        text = CALL_FAILED.sub(lambda found: f"{found[2]}: {os.strerror(int(found[1]))}", text)
    return "".join(character if character.isprintable() else "?" for character in text)[:300]
