"""Split the URL of servers: ``nats://user:password@host1,host2:4222``."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

__all__ = ["Servers", "split_servers"]

_BEFORE_SCHEME = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.-]*://)", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://", re.ASCII)


class Servers(NamedTuple):
    """The parts of a URL of servers."""

    addresses: list[object]
    """Each one with the scheme that applies to it, without user name and password."""
    indices: list[int]
    """The index of the element of the list that has the address."""
    user: str | None
    password: str | None


def split_servers(value: object) -> Servers:
    """Separate the user name and the password from the addresses.

    :param value: a text with one or more addresses separated by commas, or a list of such texts.
        ``user:password@`` stands before the first host; other characters than letters, digits and
        ``-._~`` are percent-encoded there.
    :return: the parts. An element that is not a text is an address as it is.
    :raises ValueError: the user name or password has no usable form, or two of them differ. The
        message shows neither.
    """
    addresses: list[object] = []
    indices: list[int] = []
    logins: set[tuple[str | None, str | None]] = set()
    for index, element in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(element, str):
            addresses.append(element)
            indices.append(index)
            continue
        for chunk in _BEFORE_SCHEME.split(element.strip()):
            match = _SCHEME.match(chunk)
            scheme = match[0] if match else ""
            userinfo, at, hosts = chunk.removeprefix(scheme).rpartition("@")
            if at:
                logins.add(_login(userinfo))
            found = [host.strip() for host in hosts.split(",")]
            addresses += [scheme + host for host in found]
            indices += [index] * len(found)
    if len(logins) > 1:
        raise ValueError("the servers have different user names or passwords; give them once")
    user, password = logins.pop() if logins else (None, None)
    return Servers(addresses, indices, user, password)


def _login(userinfo: str) -> tuple[str | None, str | None]:
    if any(mark in userinfo for mark in ",/?#@"):
        raise ValueError(
            "the user name and password stand before the first host, and their characters , / ? # @"
            " are percent-encoded: %2C %2F %3F %23 %40"
        )
    name, colon, word = userinfo.partition(":")
    try:
        user, password = unquote(name, errors="strict"), unquote(word, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the user name or password is not UTF-8 after percent-decoding") from None
    return user or None, (password or None) if colon else None
