"""Requests to the JetStream API over a connection of fastcoord.

nats-py's client cannot send them: messages bypass it in both directions.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fastcoord._deadline import within
from fastcoord.errors import RequestTimeout, StreamError
from fastcoord.nats.rights import Right
from fastcoord.nats.stream_info import StreamInfo, StreamSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.nats.connection import Connection

__all__ = ["FIRST_REPLY_SID", "REPLIES", "ApiAnswer", "JetStream", "refusal"]

REPLIES = "_INBOX"
"""The prefix of reply subjects, the same as that of other NATS clients."""
FIRST_REPLY_SID = 1 << 20
"""The lowest subscription id of the replies. The owner of a connection uses lower ones."""

NO_JETSTREAM = (
    "the server has no JetStream: enable it with 'jetstream {}' in its configuration, or remove"
    " cluster.stream; on a leaf node, set cluster.stream-domain to the domain of the hub"
)
REMEDIES = {
    10002: "the server has too little memory or storage left for JetStream",
    10005: "reduce the number of replicas, or start more servers with JetStream",
    10008: "the JetStream cluster has no leader at the moment: try again, and check that most of"
    " its servers run",
    10023: "the storage of JetStream is full: reduce the streams, or raise its limits",
    10028: "the account's limits for JetStream are reached",
    10039: "enable JetStream for the account of this user in the server's configuration",
    10047: "the server has less storage than the stream reserves: reduce max bytes, or raise"
    " max_file_store of the server",
    10059: "make it with 'fastcoord stream create FILE'",
    10065: "another stream stores this subject: use that stream, or remove the subject from it",
    10074: "a single server stores one replica only: reduce the number of replicas",
    10076: "the server has JetStream, but it failed: read the server's log",
}
"""What to do about an error of JetStream, by its error code."""

T = TypeVar("T")


class ApiFailure(msgspec.Struct):
    """The reason that JetStream gives for a refused request."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class ApiAnswer(msgspec.Struct):
    """The part that all answers of JetStream have in common."""

    error: ApiFailure | None = None


class JetStream:
    """Send requests to the JetStream API over one connection, any number at a time.

    The owner of the connection passes messages whose subscription id is at least
    ``FIRST_REPLY_SID`` to :meth:`take`, and calls :meth:`end` when the connection is lost.

    :param connection: the connection.
    :param timeout: the limit for each request, in seconds.
    :param domain: the JetStream domain of the stream; ``None`` for that of the server.

    :ivar timeout: that limit; it may be changed.
    :ivar api: the subject that all requests begin with, with a dot at the end.
    """

    def __init__(self, connection: Connection, timeout: float, domain: str | None = None) -> None:
        self.api = "$JS.API." if domain is None else f"$JS.{domain}.API."
        self._connection = connection
        self.timeout = timeout
        self._replies = f"{REPLIES}.{secrets.token_hex(8)}"
        self._next_sid = FIRST_REPLY_SID
        self._pending: dict[int, asyncio.Future[bytes]] = {}

    def reply_subject(self, token: object) -> str:
        """Return a subject that only this connection uses.

        :param token: its last token.
        """
        return f"{self._replies}.{token}"

    def take(self, sid: int, payload: bytes) -> None:
        """Process the reply to a request; a reply that comes too late is dropped."""
        answered = self._pending.get(sid)
        if answered is not None and not answered.done():
            answered.set_result(payload)

    def end(self, reason: Exception) -> None:
        """Raise ``reason`` in every pending request."""
        for answered in self._pending.values():
            if not answered.done():
                answered.set_exception(reason)

    async def stream_info(self, name: str) -> StreamInfo:
        """Request the settings and the state of a stream.

        :param name: the name of the stream.
        :raises StreamError: as :meth:`call`.
        """
        return await self.call(f"STREAM.INFO.{name}", None, StreamInfo)

    async def create_stream(self, settings: StreamSettings) -> StreamInfo:
        """Create a stream. If it exists with the same settings, return it.

        :param settings: the settings of the stream.
        :raises StreamError: as :meth:`call`. The code is 10058 if the stream exists with other
            settings.
        """
        body = {
            key: value for key, value in msgspec.to_builtins(settings).items() if value is not None
        }
        return await self.call(f"STREAM.CREATE.{settings.name}", body, StreamInfo)

    async def call(self, operation: str, body: object, answer: type[T]) -> T:
        """Send a request of the JetStream API.

        :param operation: the subject behind ``$JS.API``, such as ``STREAM.INFO.AGORA``.
        :param body: the JSON of the request; ``None`` if it has none.
        :param answer: the type of the answer.
        :return: the answer.
        :raises StreamError: JetStream refuses the request, or the server has no JetStream.
        :raises PermissionDenied: the server does not permit this user to send the request.
        :raises RequestTimeout: there is no answer in time.
        """
        payload = b"" if body is None else msgspec.json.encode(body)
        reply = await self.request(f"{self.api}{operation}", payload)
        if not reply:
            raise StreamError(NO_JETSTREAM)
        try:
            failure = msgspec.json.decode(reply, type=ApiAnswer).error
            if failure is None:
                return msgspec.json.decode(reply, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StreamError(f"{self.api}{operation}: unexpected answer: {error}") from error
        raise refusal(failure, self._connection.redact)

    async def request(self, subject: str, payload: bytes) -> bytes:
        """Publish a message with a reply subject, and wait for the reply.

        :param subject: the subject.
        :param payload: the payload.
        :return: the payload of the reply; empty if nobody receives messages on the subject.
        :raises PermissionDenied: the server does not permit this user to publish on the subject or
            to receive the reply.
        :raises RequestTimeout: there is no reply in time.
        """
        sid = self._next_sid
        self._next_sid += 1
        reply = self.reply_subject(sid)
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def processed() -> None:
            # If the server refuses one of the two operations, its -ERR arrives before the PONG.
            for right, grant in (
                (Right("subscribe", reply), Right("subscribe", f"{REPLIES}.>")),
                (Right("publish", subject), Right("publish", subject)),
            ):
                if self._connection.take_refusal(right.subject) and not answered.done():
                    answered.set_exception(grant.denied())

        self._pending[sid] = answered
        try:
            self._connection.subscribe_once(reply, sid)
            self._connection.publish_raw(subject.encode(), payload, reply.encode())
            self._connection.ping(processed)
            return await within(answered, self.timeout)
        except TimeoutError:
            if not answered.cancelled():
                raise  # `end` was called with a TimeoutError
            raise RequestTimeout(
                f"JetStream did not answer {subject} within {self.timeout:g} s"
                " (timeout.request): the stream or the JetStream cluster may have no leader; check"
                " that most of its servers run"
            ) from None
        finally:
            del self._pending[sid]
            if answered.cancelled() or answered.exception() is not None:
                self._connection.unsubscribe(sid)


def refusal(failure: ApiFailure, redact: Callable[[str], str]) -> StreamError:
    """Return the exception for a request that JetStream refuses.

    :param redact: :meth:`Connection.redact`, because the server may repeat a secret.
    """
    remedy = REMEDIES.get(failure.err_code)
    text = redact(failure.description) or "no reason given"
    text = f"JetStream: {text} (error {failure.err_code})"
    return StreamError(f"{text}: {remedy}" if remedy else text, code=failure.err_code)
