"""Checks of the TLS settings against each other and against the files they name."""

from __future__ import annotations

import os
import ssl
from typing import Any

from fastcoord.config._document import Document, Given, Section, shown

__all__ = ["check_tls", "readable_file"]

_PAIR = (("tls.cert-file", "tls.key-file"), ("tls.key-file", "tls.cert-file"))
_WITHOUT_EFFECT = ("tls.ca-file", "tls.cert-file", "tls.key-file", "tls.handshake-first")


def readable_file(folder: str, path: str) -> str:
    """Return the absolute path of a file after reading a byte of it.

    :param folder: what a relative path begins at.
    :param path: the path as the configuration has it.
    :return: the absolute path.
    :raises ValueError: when the file cannot be read; says why.
    """
    absolute = os.path.join(folder, path)
    needed = "a file that can be read is needed"
    # The path itself is not shown: macros may have gone into it.
    if not os.path.isfile(absolute):
        if os.path.exists(absolute):
            raise ValueError(f"{needed}, and this is no regular file")
        raise ValueError(f"{needed}; there is none (relative paths begin at {folder!a})")
    try:
        with open(absolute, "rb") as file:
            file.read(1)
    except OSError as error:
        raise ValueError(f"{needed}: {error.strerror}") from None
    return absolute


def check_tls(document: Document, section: Section, values: dict[str, Any]) -> None:
    """Note what does not fit together in the TLS settings of a store.

    :param document: takes the problems.
    :param section: the settings as the file has them.
    :param values: those that could be read.
    """
    for one, other in _PAIR:
        if one in section.given and other not in section.given:
            document.problem(
                section.given[one].path,
                f"{document.spell(section.path_of(other))} is missing; a client certificate "
                "needs both",
            )
    # What could not be read counts as enabled: no second problem for one mistake.
    enabled = "tls.enable" in section.given and values.get("tls.enable", True)
    addresses = values.get("address", ())
    if addresses and not enabled and not any(address.tls for address in addresses):
        for key in _WITHOUT_EFFECT:
            if values.get(key):
                document.problem(
                    section.given[key].path,
                    "has no effect without TLS; set "
                    f"{document.spell(section.where('tls.enable'))} to true, or write tls:// "
                    "before an address",
                )
    _check_authority(document, section, values.get("tls.ca-file"))
    _check_pair(document, section, values.get("tls.cert-file"), values.get("tls.key-file"))


def _refuse(document: Document, given: Given, reason: str) -> None:
    document.problem(given.path, f"{shown(given.value)} was given; {reason}")


def _check_authority(document: Document, section: Section, path: str | None) -> None:
    if path is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # of which ssl.SSLError is one
        _refuse(document, section.given["tls.ca-file"], "the file holds no certificate in PEM form")


class _EncryptedKeyError(Exception):
    """The private key asks for a password, which no setting holds."""


def _no_password() -> str:
    raise _EncryptedKeyError


def _check_pair(
    document: Document, section: Section, certificate: str | None, key: str | None
) -> None:
    if certificate is None or key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Without a password of ours, OpenSSL would ask for one on the terminal and wait.
        context.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedKeyError:
        _refuse(document, section.given["tls.key-file"], "the key is encrypted; a plain is needed")
    except OSError:
        other = shown(section.given["tls.key-file"].value)
        _refuse(
            document,
            section.given["tls.cert-file"],
            f"together with the key {other} it cannot be used: both must be in PEM form, and the "
            "key must be the certificate's",
        )
