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
from fastcoord.nats.options import has_login
from fastcoord.nats.parser import MessageSink
from fastcoord.nats.rights import Right
from fastcoord.nats.rights_trial import (
    ANSWERS,
    Trial,
    publish_unnoticed,
    rights_to_publish,
    rights_to_subscribe,
)
from fastcoord.nats.servers import Server

if TYPE_CHECKING:
    from fastcoord.config import Address, Config

__all__ = ["Finding", "probe"]

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
    """Note whether the message to the own subject comes back."""

    def __init__(self) -> None:
        self.sid = 0
        self.is_echoed = False

    def take(self, sid: int, reply: bytes, numbers: object, payload: bytes) -> None:
        self.is_echoed |= sid == self.sid


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

    Other nodes do not notice. Where a user has no right to publish answers, and on servers older
    than 2.11, they receive the goodbye of an unknown node.

    :param config: the configuration.
    :param address: the server.
    :param report: called with each finding.
    :return: whether the server accepts this user and grants all rights that a node needs.
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
        return await try_rights(config, connection, sink, report)
    except ConnectError as error:
        report(Finding("connection", "failed", str(error)))
        return False
    finally:
        await connection.close()


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
            # Without a login, the error says what to set.
            hint = ": check user and password, or credentials" if has_login(self._config) else ""
            report(Finding("authentication", "failed", f"{error}{hint}"))
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
) -> bool:
    """Try the rights of a node, measure the round trip, and send a message to ourselves.

    :return: whether the server grants all rights that a node needs.
    :raises ConnectError: the connection is lost, or the server does not answer.
    """
    cluster, limit = config.cluster, config.nats.timeout.request
    # A node receives answers on such a subject; its first word is the node id.
    own = f"{cluster.presence_subject}.{secrets.randbelow(65536)}.{secrets.randbits(42)}"
    subscriptions = rights_to_subscribe(cluster, own)
    for sid, trial in enumerate(subscriptions, EVENTS_SID):
        connection.subscribe(trial.subject, sid)
        if trial.subject == own:
            sink.sid = sid
    await connection.prove()
    size = connection.max_payload
    report(Finding("max payload", "ok", f"{size:,} bytes", size))
    round_trip = min([await round_trip_of(connection, limit) for _ in range(PINGS)])
    report(Finding("round trip", "ok", f"{round_trip * 1000:.2f} ms", round_trip))
    refused = {trial for trial in subscriptions if connection.take_refusal(trial.subject)}

    answers = Trial("publish", Right("publish", f"{cluster.presence_subject}.>"), own, ANSWERS)
    connection.publish_raw(own.encode(), b"")
    await round_trip_of(connection, limit)
    is_echoed = sink.is_echoed
    if connection.take_refusal(own):
        refused.add(answers)

    publications = rights_to_publish(cluster)
    trace = None if answers in refused else own
    publish_unnoticed(connection, cluster, publications, trace)
    await round_trip_of(connection, limit)
    refused |= {trial for trial in publications if connection.take_refusal(trial.subject)}

    trials = [*subscriptions, answers, *publications]
    for trial in trials:
        report(right_finding(trial, is_refused=trial in refused))
    if not any(trial.subject == own for trial in refused):
        report(echo_finding(is_echoed=is_echoed, no_echo=config.nats.no_echo))
    return all(trial.without for trial in refused)


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


def right_finding(trial: Trial, *, is_refused: bool) -> Finding:
    """Report a right; if the server refuses it, with what to grant."""
    step, right = trial.step, trial.right
    if not is_refused:
        return Finding(step, "ok", right.subject, right.subject)
    text = str(right.denied())
    if trial.without:
        return Finding(step, "warning", f"{text}; without it, {trial.without}", right.subject)
    return Finding(step, "failed", text, right.subject)


def echo_finding(*, is_echoed: bool, no_echo: bool) -> Finding:
    """Report whether own messages come back, and whether that is what ``no-echo`` says."""
    text = f"{'come' if is_echoed else 'do not come'} back (no-echo = {str(no_echo).lower()})"
    return Finding("own messages", "ok" if is_echoed != no_echo else "failed", text, is_echoed)
