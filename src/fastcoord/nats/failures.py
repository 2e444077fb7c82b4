"""Describes what ended an attempt or a connection, and chooses the exception."""

from __future__ import annotations

import asyncio
import os
import re
import ssl

import nats.errors

from fastcoord.errors import AuthenticationFailed, ConfigError, ConnectError, TlsError

__all__ = ["describe", "explain"]

CALL_FAILED = re.compile(r"\[Errno (\d+)\] Connect call failed \('([^']*)'[^)]*\)")


def explain(error: Exception) -> ConnectError | ConfigError:
    """Return the exception of fastcoord for what ended an attempt."""
    if isinstance(error, ConnectError | ConfigError):
        return error
    text = describe(error)
    if isinstance(error, ssl.SSLError):
        return TlsError(text)
    if "authorization violation" in text.lower() or "authentication" in text.lower():
        return AuthenticationFailed(f"the server refused the credentials ({text})")
    return ConnectError(text)


def describe(error: BaseException | None) -> str:
    """Describe an error in one line of printable text."""
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
