"""Reads the server's INFO line, and checks that the node can use the server."""

from __future__ import annotations

import json
from typing import Any

from fastcoord.errors import ConnectError, TlsError

__all__ = ["checked_info", "max_payload_of", "read_info"]

INFO = b"INFO "


def read_info(line: bytes) -> dict[str, Any]:
    """Return the fields of an INFO line, or an empty dict if the line is malformed."""
    try:
        fields = json.loads(line[len(INFO) :])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(fields, dict):
        return {}
    urls = fields.get("connect_urls") or []
    is_usable = isinstance(urls, list) and all(isinstance(url, str) for url in urls)
    return fields if is_usable else {}


def max_payload_of(info: dict[str, Any]) -> int | None:
    """Return the server's limit for one message, in bytes; ``None`` if INFO has no limit."""
    limit = info.get("max_payload")
    return limit if isinstance(limit, int) and not isinstance(limit, bool) else None


def checked_info(line: bytes, *, demand_tls: bool, is_secure: bool) -> tuple[bytes, bool]:
    """Check the first INFO of a server against what the node needs.

    nats-py starts TLS only if INFO says that the server requires TLS. If the configuration demands
    TLS and the server only offers it, the returned line says that TLS is required. A server that
    does not offer TLS is refused.

    :param line: the received line.
    :param demand_tls: whether the configuration demands TLS.
    :param is_secure: whether TLS is established already.
    :return: the line for nats-py, and whether a TLS handshake follows.
    :raises TlsError: the configuration demands TLS, and the server does not offer it.
    :raises ConnectError: the server does not support message headers, or the line is malformed.
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
            "the server does not support message headers, which batches need: use"
            " nats-server 2.2 or later, without no_header_support"
        )
    return line, bool(info.get("tls_required")) and not is_secure
