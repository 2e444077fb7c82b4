"""Parse the addresses of servers."""

from __future__ import annotations

import ipaddress
import re

from fastcoord.config._model import Address

__all__ = ["address", "hide_userinfo"]

DEFAULT_PORT = 4222
LONGEST_HOST = 253
_ALLOWED = 'allowed is "host", "host:port", "nats://host:port", "tls://host:port" or "[ipv6]:port"'
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_IPV6 = re.compile(r"\[|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\Z", re.ASCII)
_PORT = re.compile(r"-?[0-9]*(?:[/?#]|\Z)", re.ASCII)


def address(value: object) -> Address:
    """Read the address of one server.

    :param value: ``host``, ``host:port``, ``nats://…`` or ``tls://…``. An IPv6 address needs
        brackets. The default port is 4222.
    :return: the address.
    :raises ValueError: the value has none of these forms; the message lists them.
    """
    if not isinstance(value, str):
        raise ValueError(f"each address must be a string; {_ALLOWED}")
    tls, rest = _split_scheme(value)
    if "@" in rest:
        raise ValueError(
            "an address cannot contain a user name or password; use the settings user and "
            "password, or credentials"
        )
    if "," in rest:
        raise ValueError('write several addresses as a list: ["host1:4222", "host2:4222"]')
    if any(mark in rest for mark in "/?#"):
        raise ValueError(f"an address cannot have a path or query; {_ALLOWED}")
    if any(character.isspace() or not character.isprintable() for character in rest):
        raise ValueError(f"an address cannot contain blanks or control characters; {_ALLOWED}")
    host, port = _split_port(rest)
    return Address(host=host, port=port, tls=tls)


def hide_userinfo(value: str) -> str:
    """Hide what may be secret: the text before ``@``, after ``?``, and a port that is no number."""
    scheme = _SCHEME.match(value)
    start, rest = (scheme[0], value[scheme.end() :]) if scheme else ("", value)
    if "@" in rest:
        value = f"{start}***@{rest.rpartition('@')[2]}"
    else:
        value = start + ",".join(map(_hide_port, rest.split(",")))
    before, mark, _ = value.partition("?")
    return before + "?***" if mark else before


def _hide_port(address: str) -> str:
    host, colon, port = address.partition(":")
    # Macros have colons, and an error shows their names only.
    if not colon or "%{" in address or _IPV6.match(address) or _PORT.match(port):
        return address
    # This may be a user name and a password without a host.
    return f"{host}:***"


def _split_scheme(value: str) -> tuple[bool, str]:
    match = _SCHEME.match(value)
    if match is None:
        return False, value
    scheme = match[1].lower()
    if scheme not in ("nats", "tls"):
        raise ValueError(f"only the schemes nats:// and tls:// are supported; {_ALLOWED}")
    rest = value[match.end() :]
    return scheme == "tls", rest.removesuffix("/")


def _split_port(rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"an IPv6 address is written [::1] or [::1]:4222; {_ALLOWED}")
        return _ipv6(host), _port(port[1:]) if port else DEFAULT_PORT
    if rest.count(":") > 1:
        raise ValueError(f"an IPv6 address needs brackets, as in [::1]:4222; {_ALLOWED}")
    host, colon, port = rest.partition(":")
    return _host(host), _port(port) if colon else DEFAULT_PORT


def _port(port: str) -> int:
    if port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535:
        return int(port)
    raise ValueError("the port after the colon must be a whole number from 1 to 65535")


def _ipv6(host: str) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"the text in brackets is not an IPv6 address; {_ALLOWED}") from None
    return host


def _host(host: str) -> str:
    if not host:
        raise ValueError(f"the host is missing; {_ALLOWED}")
    labels = host.removesuffix(".").split(".")
    if len(host) > LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"the host is neither a host name nor an IP address; {_ALLOWED}")
    if len(labels) == 1 and labels[0].isdigit():
        raise ValueError(f"the host cannot be a number alone; {_ALLOWED}")
    if labels[-1].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError("the host looks like an IPv4 address but is not a valid one") from None
    if not host.isascii():
        try:
            host.encode("idna")
        except UnicodeError:
            raise ValueError(f"the host is not a host name; {_ALLOWED}") from None
    return host
