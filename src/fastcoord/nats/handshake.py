"""The handshake with one server: address, TCP, INFO, TLS, CONNECT and the first PONG."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from nats.aio.client import Client

from fastcoord.errors import ConfigError, ConnectError, ConnectTimeout
from fastcoord.nats.compat import check_installed, drop_transport, use_transport
from fastcoord.nats.dialing import dial, resolve
from fastcoord.nats.failures import explain, refused_after_tls, silence
from fastcoord.nats.options import client_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.config import Config
    from fastcoord.nats.redaction import Redaction
    from fastcoord.nats.servers import Server
    from fastcoord.nats.transport import MessageTransport

__all__ = ["CLOSING_LIMIT", "Handshake"]

CLOSING_LIMIT = 1.0
"""The most seconds that closing takes. The socket is closed first, so only tasks are awaited."""

Step = Literal["resolving", "connecting", "greeting", "tls", "authenticating"]
"""What the handshake does or waits for: addresses, TCP, INFO, TLS, or the answer to CONNECT."""


class Handshake:
    """Do the handshake of one connection with nats-py's client.

    Afterwards the client stays: it answers the server's PINGs and sends the PINGs of
    ``ping-interval``.

    :param config: the configuration.
    :param server: the server to connect to.
    :param transport: the transport of the connection.
    :param redaction: receives the secrets that are sent to the server.
    """

    def __init__(
        self, config: Config, server: Server, transport: MessageTransport, redaction: Redaction
    ) -> None:
        check_installed()
        self._config = config
        self._server = server
        self._transport = transport
        self._redaction = redaction
        self._client = Client()
        self._is_started = False
        use_transport(self._client, transport)
        self._step: Step = "resolving"

    @property
    def step(self) -> Step:
        """The present step."""
        return self._transport.step if self._is_started else self._step

    @property
    def is_accepted(self) -> bool:
        """Whether the server has accepted the TCP connection."""
        return self._is_started

    @property
    def max_payload(self) -> int:
        """The server's limit for one message, as its first INFO says; in bytes."""
        return int(self._client.max_payload)

    @property
    def last_error(self) -> Exception | None:
        """Why the client has ended the connection, or ``None``."""
        return self._client.last_error

    async def run(self, deadline: float, answered: Callable[[], None]) -> None:
        """Do all steps. At the deadline they end, even if one of them ignores its cancellation.

        :param deadline: a time on the event loop's clock.
        :param answered: called when the server has answered with a PONG, before the client reads
            the lines behind it. It may raise ``ConnectError``.
        :raises ConnectError: the handshake failed. The text is the reason.
        :raises ConfigError: a secret of the configuration cannot be read.
        """
        task = asyncio.ensure_future(self._run(answered))
        # The caller may be cancelled in the iteration in which the task fails.
        task.add_done_callback(ignore_failure)
        try:
            await asyncio.wait({task}, timeout=deadline - asyncio.get_running_loop().time())
            if not task.done():
                raise self.silence(self.step)
            task.result()
        finally:
            if not task.done():
                # The step may wait for the socket. Closing the socket ends that wait.
                self._transport.abort()
                task.cancel()
                await asyncio.wait({task}, timeout=CLOSING_LIMIT)

    def silence(self, step: str) -> ConnectTimeout:
        """Return the exception for a server that does not answer a step in time."""
        return ConnectTimeout(silence(step, self._config.nats.timeout.connection))

    async def _run(self, answered: Callable[[], None]) -> None:
        config, address = self._config, self._server.address
        options = client_options(
            config, f"nats://{self._server}", self._server.name, self._redaction
        )
        options["error_cb"] = ignore_error
        try:
            target = await resolve(address.host, address.port)
            self._step = "connecting"
            limit = config.nats.timeout.connection
            await dial(self._transport, target, config.cluster.node_id, limit)
            self._is_started = True
            await self._client.connect(**options)
        except (ConfigError, ConnectError, asyncio.CancelledError):
            raise
        except asyncio.TimeoutError as error:
            # Before Python 3.11, asyncio.TimeoutError was not the built-in TimeoutError.
            raise self.silence(self.step) from error
        except Exception as error:
            # A server can make nats-py raise any exception. The exception ends only this attempt.
            if isinstance(error, BrokenPipeError | ConnectionResetError) and (
                self.step == "authenticating" and self._transport.is_secure
            ):
                has_certificate = config.nats.tls.cert_file is not None
                raise refused_after_tls(error, has_certificate) from error
            raise explain(error) from error
        if not self._client.is_connected:
            raise ConnectError("the server answered something that is not NATS")
        answered()

    async def release(self) -> None:
        """End the tasks of the client. The transport is aborted before this call."""
        if self._is_started:
            closing = asyncio.ensure_future(self._client.close())
            closing.add_done_callback(ignore_failure)
            await asyncio.wait({closing}, timeout=CLOSING_LIMIT)
            closing.cancel()
        # The client and the transport refer to each other. Breaking this cycle frees both, and the
        # memory of TLS, at once and not at the next garbage collection.
        drop_transport(self._client)


async def ignore_error(error: Exception) -> None:
    """Ignore an error that nats-py reports: the transport reports a lost connection itself."""


def ignore_failure(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a task, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
