"""The server's INFO line: whether this server can be used, before anything is sent to it."""

from __future__ import annotations

import json
from typing import Any

from fastcoord.errors import ConnectError, TlsError

__all__ = ["checked_info", "max_payload_of", "read_info"]

INFO = b"INFO "


def read_info(line: bytes) -> dict[str, Any]:
    """Return the fields of an INFO line; none if it is malformed."""
    try:
        fields = json.loads(line[len(INFO) :])
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def max_payload_of(info: dict[str, Any]) -> int | None:
    """Return the largest message that the server accepts, in bytes; ``None`` if INFO has none."""
    limit = info.get("max_payload")
    return limit if isinstance(limit, int) and not isinstance(limit, bool) else None


def checked_info(line: bytes, *, demand_tls: bool, is_secure: bool) -> tuple[bytes, bool]:
    """Check the first INFO of a server against what the node needs.

    nats-py starts TLS only if the server requires it. Where the configuration demands TLS, a server
    that offers it is treated as one that requires it, and any other is refused.

    :param line: the line, as received.
    :param demand_tls: whether the configuration demands TLS.
    :param is_secure: whether TLS is established already.
    :return: the line for nats-py, and whether a TLS handshake follows.
    :raises TlsError: TLS is demanded and not offered.
    :raises ConnectError: the server has no message headers, or the line is malformed.
    """
    info = read_info(line)
    if not info:
        raise ConnectError("the server's INFO is malformed: check that it is a NATS server")
    if demand_tls and not is_secure:
        if not (info.get("tls_required") or info.get("tls_available")):
            raise TlsError(
                "the server does not offer TLS, and tls.enable demands it: enable TLS on the server"
            )
        info["tls_required"] = True
        line = INFO + json.dumps(info).encode() + b"\r\n"
    if info.get("headers") is not True:
        raise ConnectError(
            "the server does not support message headers, which number the events: use"
            " nats-server 2.2 or later, without no_header_support"
        )
    return line, bool(info.get("tls_required")) and not is_secure
