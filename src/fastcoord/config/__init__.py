"""Loading the configuration: the TOML or JSON that configures Stalwart's NATS coordinator.

The TOML form is Stalwart's up to 0.15: ``cluster.coordinator`` names the ``[store."<id>"]`` of
``type = "nats"``. Other stores and sections are skipped, and so is ``cluster.roles``; an unknown
key within ours is an error.

The JSON form is the coordinator object of Stalwart 0.16 and later::

    {
        "@type": "Nats",
        "addresses": {"nats1:4222": true, "nats2:4222": true},
        "authUsername": "stalwart",
        "authSecret": {"@type": "EnvironmentVariable", "variableName": "NATS_PASSWORD"},
        "credentials": {"@type": "None"},
        "noEcho": true,
        "useTls": false,
        "timeoutConnection": 5000,
        "timeoutRequest": 10000,
        "pingInterval": 60000,
        "maxReconnects": null,
        "capacityClient": 2048,
        "capacitySubscription": 65536,
        "capacityReadBuffer": 65535,

        "capacitySubscriptionBytes": "64MB",
        "capacityBatchBytes": "16KB",
        "tlsCaFile": "ca.pem",
        "tlsCertFile": "node.pem",
        "tlsKeyFile": "node.key",
        "tlsHandshakeFirst": false,
        "cluster": {
            "nodeId": 1,
            "protocol": "stalwart-0.16",
            "subject": "stwt.agora",
            "heartbeat": 2000,
            "maxAge": 60000
        }
    }

What stands after the blank line is fastcoord's own, and optional; the members of ``cluster`` may
also stand beside the others. ``addresses`` may be a list or one string. Durations are
milliseconds, or strings as in TOML. ``null`` is the same as leaving a key out. A secret is of
``@type`` ``Value`` (or ``Text``), ``EnvironmentVariable``, ``File`` or ``None``; with ``None`` as
``authSecret`` the ``authUsername``, which Stalwart never leaves out, is of no account. The
protocol defaults to ``stalwart-0.16``.

Relative paths, of ``tls.*-file``, ``%{file:PATH}%`` and ``filePath``, begin at the folder of the
configuration file; for a text without a file, at the working directory. Certificates and keys
are opened while the configuration loads, so that a wrong file is found then.
"""

from __future__ import annotations

import os
from typing import NoReturn

from fastcoord.config._credentials import Credentials, check_credentials, split_credentials
from fastcoord.config._describe import describe
from fastcoord.config._json import read_json
from fastcoord.config._model import (
    PROTOCOLS,
    Address,
    Capacity,
    Cluster,
    Config,
    Nats,
    Timeout,
    Tls,
    default_subject,
)
from fastcoord.config._secret import Secret
from fastcoord.config._toml import read_toml
from fastcoord.errors import ConfigError, ConfigProblem

__all__ = [
    "PROTOCOLS",
    "Address",
    "Capacity",
    "Cluster",
    "Config",
    "Credentials",
    "Nats",
    "Secret",
    "Timeout",
    "Tls",
    "check_credentials",
    "default_subject",
    "describe",
    "load_config",
    "parse_config",
    "split_credentials",
]

LARGEST_FILE = 16 * 1024 * 1024


def load_config(path: str | os.PathLike[str]) -> Config:
    """Load a configuration file, TOML or JSON.

    :param path: the file; its folder is where relative paths within it begin.
    :return: the configuration.
    :raises ConfigError: with everything that is wrong with the file, all at once.
    """
    name = os.fsdecode(path)
    return _read(_text_of(name), name, os.path.dirname(os.path.abspath(name)))


def parse_config(text: str, *, name: str = "<string>") -> Config:
    """Read a configuration from a string: TOML, or a JSON object.

    :param text: the configuration; one that begins with ``{`` is JSON.
    :param name: what to call it in errors and in ``Config.source``; relative paths begin at the
        working directory, whatever the name.
    :return: the configuration.
    :raises ConfigError: with everything that is wrong with the text, all at once.
    """
    return _read(text, name, os.getcwd())


def _read(text: str, name: str, folder: str) -> Config:
    text = text.removeprefix("\ufeff")
    if not text.strip():
        _refuse(name, "the configuration is empty")
    if text.lstrip().startswith("{") or name.lower().endswith(".json"):
        return read_json(text, name, folder)
    return read_toml(text, name, folder)


def _text_of(name: str) -> str:
    if "\n" in name or "://" in name:
        # Nothing of it is shown: it may be a whole configuration, passwords included.
        what = "an address" if "\n" not in name else "the text of a configuration"
        _refuse(
            "<path>",
            f"the path of a file is wanted here, and {what} was given; parse_config takes text",
        )
    if "\0" in name:
        _refuse(name.replace("\0", "\\0"), "a file's name cannot hold a NUL character")
    try:
        with open(name, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        _refuse(name, "there is no such file")
    except IsADirectoryError:
        _refuse(name, "this is a directory; the name of a file in it is needed")
    except OSError as error:
        _refuse(name, f"the file cannot be read: {error.strerror}")
    if len(content) > LARGEST_FILE:
        _refuse(name, f"the file is larger than {LARGEST_FILE} bytes, too large to be meant")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse(name, "the file is not UTF-8, as TOML and JSON must be", line)


def _refuse(name: str, message: str, line: int | None = None) -> NoReturn:
    raise ConfigError([ConfigProblem(name, line, "", message)]) from None
