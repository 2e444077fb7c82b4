"""Tries one server step by step, for ``fastcoord check --connect``."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fastcoord.errors import AuthenticationFailed, ConnectError, TlsError
from fastcoord.nats.connection import EVENTS_SID, Connection
from fastcoord.nats.failures import printable
from fastcoord.nats.parser import MessageSink
from fastcoord.nats.rights import Right
from fastcoord.nats.servers import Server

if TYPE_CHECKING:
    from fastcoord.config import Address, Config

__all__ = ["Finding", "probe"]

ECHO_SID = EVENTS_SID + 2
PINGS = 5
SECONDS_PER_DAY = 86_400
SOON = 14 * SECONDS_PER_DAY
"""A certificate that expires earlier is worth a warning."""

State = Literal["ok", "failed", "warning", "off"]


class Finding(NamedTuple):
    """The result of one step."""

    step: str
    state: State
    text: str
    value: Any = None
    """The result for programs: plain values only."""


class EchoSink(MessageSink):
    """Count the messages of one subscription."""

    def __init__(self) -> None:
        self.echoes = 0

    def take(self, sid: int, reply: bytes, numbers: object, payload: bytes) -> None:
        self.echoes += sid == ECHO_SID


class Owner:
    """The callbacks of the connection; the probe waits for the results itself."""

    def connection_writable(self) -> None: ...

    def connection_lost(self, connection: Connection, reason: str) -> None: ...

    def connection_leaving(self, connection: Connection) -> None: ...

    def connection_servers(self, connection: Connection) -> None: ...

    def connection_limited(self, connection: Connection) -> None: ...

    def connection_refused(self, connection: Connection, right: Right) -> None: ...

    def connection_granted(self, connection: Connection, right: Right) -> None: ...


async def probe(config: Config, address: Address, report: Callable[[Finding], None]) -> bool:
    """Connect to one server, and report what is found at each step.

    Other nodes do not notice: the only message goes to a subject of this probe alone.

    :param config: the configuration.
    :param address: the server.
    :param report: called with each finding.
    :return: whether the server accepts this user.
    """
    if not await resolve(address, report):
        return False
    sink = EchoSink()
    connection = ProbedConnection(config, Server(address), sink, Owner())
    try:
        await connection.open()
    except ConnectError as error:
        connection.report_opened(report, error)
        return False
    try:
        connection.report_opened(report)
        await try_rights(config, connection, sink, report)
    except ConnectError as error:
        report(Finding("connection", "failed", str(error)))
        return False
    finally:
        await connection.close()
    return True


async def resolve(address: Address, report: Callable[[Finding], None]) -> bool:
    """Resolve the host name. Return whether that worked."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        text = (getattr(error, "strerror", None) or str(error)).lower()
        report(Finding("dns", "failed", f"{address.host}: {text}: check the host name"))
        return False
    hosts = list(dict.fromkeys(str(each[4][0]) for each in found))
    report(Finding("dns", "ok", ", ".join(hosts), hosts))
    return True


class ProbedConnection(Connection):
    """A connection that reports what its handshake has shown."""

    def report_opened(
        self, report: Callable[[Finding], None], error: ConnectError | None = None
    ) -> None:
        """Report the steps of ``open``.

        :param error: what ``open`` has raised, if it failed.
        """
        if not self._handshake.is_accepted:
            report(Finding("tcp", "failed", str(error)))
            return
        report(Finding("tcp", "ok", "accepted"))
        if isinstance(error, TlsError):
            report(Finding("tls", "failed", str(error)))
            return
        self._report_server(report)
        report(tls_finding(self._transport.tls))
        user = self._config.nats.user
        given = "credentials" if self._config.nats.credentials is not None else f"user {user}"
        if error is None:
            anonymous = user is None and given != "credentials"
            text = "not used" if anonymous else given
            report(Finding("authentication", "off" if anonymous else "ok", text))
        elif isinstance(error, AuthenticationFailed):
            hint = "check user and password, or credentials"
            report(Finding("authentication", "failed", f"{error}: {hint}"))
        else:
            report(Finding("connection", "failed", str(error)))

    def _report_server(self, report: Callable[[Finding], None]) -> None:
        info = self._transport.info
        if info:
            name, version = (self.redact(str(info.get(key))) for key in ("server_name", "version"))
            value = {"name": name, "version": version}
            report(Finding("server", "ok", f"{name}, nats-server {version}", value))


def tls_finding(session: ssl.SSLObject | None) -> Finding:
    """Describe the TLS session and the server's certificate."""
    if session is None:
        return Finding("tls", "off", "not used: the messages are not encrypted")
    certificate: Any = session.getpeercert() or {}
    names = dict(pair for part in certificate.get("issuer", ()) for pair in part)
    issuer = names.get("organizationName") or names.get("commonName") or "unknown"
    expires = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = (expires - time.time()) / SECONDS_PER_DAY
    version = session.version()
    return Finding(
        "tls",
        "ok" if days * SECONDS_PER_DAY > SOON else "warning",
        f"{version}, certificate of {printable(issuer)}, expires in {days:.0f} days"
        f" ({time.strftime('%Y-%m-%d', time.gmtime(expires))})",
        {"version": version, "issuer": issuer, "expires": expires},
    )


async def try_rights(
    config: Config,
    connection: Connection,
    sink: EchoSink,
    report: Callable[[Finding], None],
) -> None:
    """Try the subscriptions of a node, measure the round trip, and send a message to ourselves.

    :raises ConnectError: the connection is lost, or the server does not answer.
    """
    subject, presence = config.cluster.subject, config.cluster.presence_subject
    # A node receives answers on such a subject; its first word is the node id.
    own = f"{presence}.{secrets.randbelow(65536)}.{secrets.randbits(42)}"
    answers = f"{presence}.>"
    subscriptions = {subject: subject, presence: presence, own: answers}
    for sid, name in enumerate(subscriptions, EVENTS_SID):
        connection.subscribe(name, sid)
    await connection.prove()
    limit = config.nats.timeout.request
    size = connection.max_payload
    report(Finding("max payload", "ok", f"{size:,} bytes", size))
    round_trip = min([await round_trip_of(connection, limit) for _ in range(PINGS)])
    report(Finding("round trip", "ok", f"{round_trip * 1000:.2f} ms", round_trip))
    refused = [name for name in subscriptions if connection.take_refusal(name)]
    for name, pattern in subscriptions.items():
        # Without the right to its own subject, a node uses the presence subject for answers.
        kind: State = "warning" if name == own else "failed"
        report(right_finding(Right("subscribe", pattern), kind if name in refused else "ok"))
    connection.publish_raw(own.encode(), b"")
    await round_trip_of(connection, limit)
    is_refused = connection.take_refusal(own)
    report(right_finding(Right("publish", answers), "warning" if is_refused else "ok"))
    if not is_refused and own not in refused:
        report(echo_finding(is_echoed=sink.echoes > 0, no_echo=config.nats.no_echo))


async def round_trip_of(connection: Connection, limit: float) -> float:
    """Wait for a PONG; return the time in seconds.

    :param limit: the longest time to wait, in seconds.
    :raises ConnectError: the connection is lost, or no PONG arrives in time.
    """
    answered = asyncio.Event()
    started = time.perf_counter()
    connection.ping(answered.set)
    while not answered.is_set():
        if not connection.is_up:
            raise ConnectError("the connection was lost")
        waited = time.perf_counter() - started
        if waited >= limit:
            raise ConnectError(
                f"no answer to PING within {limit:g} s (timeout.request): check that the server is"
                " not suspended or overloaded"
            )
        try:
            await asyncio.wait_for(answered.wait(), min(1.0, limit - waited))
        except asyncio.TimeoutError:
            continue
    return time.perf_counter() - started


def right_finding(right: Right, state: State) -> Finding:
    """Report a right; if the server refuses it, with what to grant."""
    text = right.subject if state == "ok" else str(right.denied())
    if state == "warning":
        text += "; without it, answers travel on the presence subject, where every node reads them"
    return Finding(right.direction, state, text, right.subject)


def echo_finding(*, is_echoed: bool, no_echo: bool) -> Finding:
    """Report whether own messages come back, and whether that is what ``no-echo`` says."""
    text = f"{'come' if is_echoed else 'do not come'} back (no-echo = {str(no_echo).lower()})"
    return Finding("own messages", "ok" if is_echoed != no_echo else "failed", text, is_echoed)
