"""Check the TLS settings and the files that they name."""

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

    :param folder: the folder that a relative path is relative to.
    :param path: the path in the configuration.
    :return: the absolute path.
    :raises ValueError: the file cannot be read; the message has the reason.
    """
    absolute = os.path.join(folder, path)
    needed = "a file that can be read is needed"
    # The error does not show the path: it may contain the content of a macro.
    if not os.path.isfile(absolute):
        if os.path.exists(absolute):
            raise ValueError(f"{needed}; the path is not a regular file")
        raise ValueError(
            f"{needed}; there is no such file (relative paths are relative to {folder!a})"
        )
    try:
        with open(absolute, "rb") as file:
            file.read(1)
    except OSError as error:
        raise ValueError(f"{needed}: {error.strerror}") from None
    return absolute


def check_tls(document: Document, section: Section, values: dict[str, Any]) -> None:
    """Report the TLS settings of a store that do not fit together.

    :param document: collects the problems.
    :param section: the settings in the file.
    :param values: the settings that could be read.
    """
    for one, other in _PAIR:
        if one in section.given and other not in section.given:
            document.problem(
                section.given[one].path,
                f"{document.spell(section.path_of(other))} is missing; a client certificate "
                "needs both",
            )
    # A value that cannot be read counts as true, so that one mistake gives only one problem.
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
    except OSError:  # includes ssl.SSLError
        _refuse(document, section.given["tls.ca-file"], "the file has no certificate in PEM form")


class _EncryptedKeyError(Exception):
    """The private key is encrypted, and no setting holds its password."""


def _no_password() -> str:
    raise _EncryptedKeyError


def _check_pair(
    document: Document, section: Section, certificate: str | None, key: str | None
) -> None:
    if certificate is None or key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Without this callback, OpenSSL would ask for a password on the terminal.
        context.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedKeyError:
        _refuse(
            document,
            section.given["tls.key-file"],
            "the key is encrypted; an unencrypted one is needed",
        )
    except OSError:
        other = shown(section.given["tls.key-file"].value)
        _refuse(
            document,
            section.given["tls.cert-file"],
            f"this certificate cannot be used with the key {other}: both must be in PEM form, and "
            "the key must belong to the certificate",
        )
