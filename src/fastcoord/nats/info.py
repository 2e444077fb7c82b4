"""Reads the server's INFO lines, and checks that the node can use the server."""

from __future__ import annotations

import json
import re
from typing import Any

from fastcoord.errors import ConnectError, TlsError

__all__ = ["checked_info", "connect_urls_of", "delivers_traced", "max_payload_of", "read_info"]

INFO = b"INFO "

DEFAULT_MAX_PAYLOAD = 1 << 20
LARGEST_MAX_PAYLOAD = 1 << 26
"""No server accepts a larger message."""

NEEDED_BY_CLIENT = (
    "auth_required",
    "client_id",
    "client_ip",
    "headers",
    "max_payload",
    "nonce",
    "tls_required",
    "version",
)
"""The fields of INFO that nats-py's client needs. It does not get the announced servers, because an
address that is malformed would end its attempt."""


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
    """Return the server's limit for one message, in bytes; ``None`` if INFO has no valid limit."""
    limit = info.get("max_payload")
    if isinstance(limit, bool) or not isinstance(limit, int):
        return None
    return min(limit, LARGEST_MAX_PAYLOAD)


def delivers_traced(info: dict[str, Any]) -> bool:
    """Return whether the server delivers a message that requests its trace instead.

    Servers since 2.11 do not. A version that cannot be read counts as a later one.
    """
    version = re.match(r"(\d+)\.(\d+)\.", str(info.get("version")))
    return version is not None and (int(version[1]), int(version[2])) < (2, 11)


def connect_urls_of(info: dict[str, Any]) -> list[str] | None:
    """Return the addresses of the servers that INFO announces; ``None`` if it announces none.

    A server that will shut down does not announce itself any more.
    """
    urls: list[str] = info.get("connect_urls") or []
    return urls if urls or info.get("ldm") is True else None


def checked_info(line: bytes, *, demand_tls: bool, is_secure: bool) -> tuple[bytes, bool]:
    """Check the first INFO of a server against what the node needs.

    nats-py starts TLS only if INFO says that the server requires TLS. If the configuration demands
    TLS and the server only offers it, the returned line says that TLS is required. A server that
    does not offer TLS is refused. The returned line has only the fields that nats-py needs, so that
    the others cannot make it fail.

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
    if info.get("headers") is not True:
        raise ConnectError(
            "the server does not support message headers, which batches need: use"
            " nats-server 2.2 or later, without no_header_support"
        )
    limit = max_payload_of({"max_payload": DEFAULT_MAX_PAYLOAD, **info})
    if limit is None:
        raise ConnectError("the server's INFO is malformed: its max_payload is not a number")
    fields = {name: info[name] for name in NEEDED_BY_CLIENT if name in info}
    fields["max_payload"] = limit
    line = INFO + json.dumps(fields).encode() + b"\r\n"
    return line, bool(info.get("tls_required")) and not is_secure
