"""Texts and exceptions for failed attempts to connect and for lost connections."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from typing import TYPE_CHECKING

import nats.errors

from fastcoord.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectError,
    PermissionDenied,
    TlsError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcoord.nats.redaction import Redaction

__all__ = [
    "NOT_TLS",
    "connect_error",
    "describe",
    "explain",
    "printable",
    "refused_after_tls",
    "refused_handshake",
    "server_error",
    "silence",
    "tls_failure",
]

NOT_TLS = "the server answered the TLS handshake with something that is not TLS"
SERVER_ERROR = re.compile(r"-ERR\s+'?(.*?)'?\s*\Z", re.DOTALL)

# Codes of OpenSSL (X509_V_ERR_...), stable since 1.0.2.
NOT_YET_VALID, EXPIRED = 9, 10
UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
WRONG_NAME = {62, 63, 64}

CLIENT_CERTIFICATE = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate: set"
    " tls.cert-file and tls.key-file",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not know the authority of this node's certificate:"
    " check tls.cert-file",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "this node's certificate has expired: renew tls.cert-file",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server does not accept this node's certificate: check"
    " tls.cert-file and tls.key-file",
}

SILENT = {
    "resolving": "to the query for the host name: check the name servers of this host",
    "connecting": "to the TCP connection: check the address and firewalls",
    "greeting": "after the TCP connection was accepted (no INFO): check that the server is not"
    " suspended or overloaded, and check tls.handshake-first",
    "tls": "to the TLS handshake: check that the server is not suspended or overloaded",
    "authenticating": "to CONNECT: check that the server is not suspended or overloaded",
    "subscribing": "to the subscription: check that the server is not suspended or overloaded",
}
"""The second half of the message about a server that does not answer an attempt to connect.

The key is the step of the attempt. The text says what the server did not answer, and what to check.
"""

SERVER_ERRORS = {
    "maximum payload violation": "the server refused a message that is larger than its limit for"
    " this user or account (Maximum Payload Violation)",
    "stale connection": "the server received no PONG in time (Stale Connection)",
    "slow consumer": "the server dropped the connection of this node, which read too slowly (Slow"
    " Consumer)",
}


def silence(step: str, seconds: float) -> str:
    """Describe a server that did not answer in time.

    :param step: a key of ``SILENT``.
    :param seconds: the limit of the whole attempt.
    """
    return f"no answer within {seconds:g} s (timeout.connection) {SILENT[step]}"


def server_error(line: bytes, redaction: Redaction) -> str:
    """Describe an ``-ERR`` line.

    :param redaction: the secrets that the server may repeat.
    """
    text = text_of(line)
    known = SERVER_ERRORS.get(text.lower())
    if known is not None:
        return known
    return f"the server reported an error: {printable(redaction.hide(text)) or 'without a reason'}"


def refused_handshake(line: bytes, redaction: Redaction, has_login: bool) -> ConnectError:
    """Return the exception for a server that answers the handshake with ``-ERR``.

    :param redaction: the secrets that the server may repeat.
    :param has_login: whether the node has sent a password, a JWT or a certificate.
    """
    text = text_of(line)
    if "authorization violation" in text.lower() or "authentication" in text.lower():
        shown = printable(redaction.hide(text))
        if has_login:
            return AuthenticationFailed(f"the server refused the credentials ({shown})")
        return AuthenticationFailed(
            f"the server requires a login, and none is set: set user and password, or credentials"
            f" ({shown})"
        )
    return ConnectError(server_error(line, redaction))


def text_of(line: bytes) -> str:
    found = SERVER_ERROR.match(line.decode("utf-8", "replace"))
    return found[1] if found else ""


def tls_failure(error: OSError | None, host: str | None) -> TlsError:
    """Return the exception for a TLS handshake that failed.

    :param error: what asyncio raised; ``None`` if the server closed the connection.
    :param host: the name or address that the certificate must have.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(certificate_failure(error, host))
    if isinstance(error, ssl.SSLError):
        return TlsError(describe(error))
    if isinstance(error, ConnectionResetError) and error.errno:
        ended = "reset"
    elif error is None or isinstance(error, ConnectionError):
        ended = "closed"
    else:
        return TlsError(f"the TLS handshake failed: {describe(error)}")
    return TlsError(
        f"the server {ended} the connection during the TLS handshake: check that the server expects"
        " TLS on this port, and read its log"
    )


def refused_after_tls(error: BaseException, has_certificate: bool) -> TlsError:
    """Return the exception for a server that closes the connection right after the TLS handshake.

    In TLS 1.3 the client finishes the handshake before the server checks the client's certificate.
    A server that rejects the certificate sends the reason and closes the connection. If a write of
    this node fails first, the reason is not read.

    :param has_certificate: whether ``tls.cert-file`` is set.
    """
    advice = (
        "it may reject this node's client certificate: check tls.cert-file and tls.key-file"
        if has_certificate
        else "it may require a client certificate: set tls.cert-file and tls.key-file"
    )
    return TlsError(f"the server ended the connection after TLS ({describe(error)}): {advice}")


def certificate_failure(error: ssl.SSLCertVerificationError, host: str | None) -> str:
    """Return what is wrong with the server's certificate, and what to do."""
    code = error.verify_code
    if code in WRONG_NAME:
        return (
            f"the server's certificate is not valid for {host}: use a name in address that the"
            " certificate has, or issue a certificate for this address"
        )
    if code == EXPIRED:
        return "the server's certificate has expired: renew it on the server"
    if code == NOT_YET_VALID:
        return "the server's certificate is not valid yet: check the clocks of both hosts"
    if code in UNKNOWN_AUTHORITY:
        return (
            "the server's certificate is from an unknown authority: set tls.ca-file to the"
            " certificate of the authority that issued it"
        )
    reason = error.verify_message or str(error)
    return f"the server's certificate is not accepted: {reason}"


def explain(error: Exception) -> ConnectError | ConfigError:
    """Convert the exception that ended an attempt to connect into an exception of fastcoord."""
    if isinstance(error, ConnectError | ConfigError):
        return error
    text = describe(error)
    return TlsError(text) if isinstance(error, ssl.SSLError) else ConnectError(text)


def describe(error: BaseException | None) -> str:
    """Describe an error in one line of printable text."""
    if error is None:
        text = "the server closed the connection"
    elif isinstance(error, ssl.SSLCertVerificationError):
        text = certificate_failure(error, None)
    elif isinstance(error, ssl.SSLError):
        # The errno of an SSLError is a number of OpenSSL: os.strerror would return a wrong text.
        text = CLIENT_CERTIFICATE.get(error.reason or "") or tls_text(error)
    elif isinstance(error, nats.errors.StaleConnectionError):
        text = "the server left two PINGs unanswered"
    elif isinstance(error, nats.errors.UnexpectedEOF):
        text = "the server closed the connection"
    elif isinstance(error, TimeoutError | asyncio.TimeoutError):
        text = "no answer in time"
    elif isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # error.strerror is not used: asyncio sets it to "Connect call failed" without a reason.
        text = os.strerror(error.errno)
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error).removeprefix("nats: ") or type(error).__name__
    return printable(text)


def tls_text(error: ssl.SSLError) -> str:
    if error.reason == "WRONG_VERSION_NUMBER":
        return NOT_TLS
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return f"TLS failed: {reason}"


def printable(text: str) -> str:
    """Return a text on one line, without control characters, and cut if it is long."""
    return "".join(character if character.isprintable() else "?" for character in text)[:300]


def connect_error(failures: Sequence[tuple[object, ConnectError]]) -> ConnectError:
    """Combine the failures of all servers into one error.

    :param failures: each server with its failure.
    """
    kinds = {type(error) for _, error in failures}
    reasons = [f"{server}: {error}" for server, error in failures]
    kind = kinds.pop() if len(kinds) == 1 else ConnectError
    advice = {
        AuthenticationFailed: "check user, password and credentials",
        TlsError: "check tls.enable, tls.ca-file and the server's certificate",
        # Without the first right, the server does not show which further ones are missing.
        PermissionDenied: "check the permissions of this user: 'fastcoord check --connect' tries"
        " each right",
    }.get(kind, "check that the server runs there and that address is right")
    message = f"no NATS server could be joined ({advice}): {'; '.join(reasons)}"
    first = failures[0][1]
    if kind is PermissionDenied and isinstance(first, PermissionDenied):
        return PermissionDenied(message, subject=first.subject, direction=first.direction)
    return kind(message)
