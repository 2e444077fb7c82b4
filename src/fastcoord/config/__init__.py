"""Load the configuration: the TOML or JSON that configures Stalwart's NATS coordinator.

Stalwart up to 0.15 uses the TOML form. In it, ``cluster.coordinator`` is the id of a store: a
section ``[store."<id>"]`` with ``type = "nats"``. Other stores, other sections and
``cluster.roles`` are ignored. An unknown key in ``[cluster]`` or in that store is an error.

The JSON form is the coordinator object of Stalwart 0.16 and later::

    {
        "@type": "Nats",
        "addresses": {"nats1:4222": true, "nats2:4222": true},
        "authUsername": "stalwart",
        "authSecret": {"@type": "EnvironmentVariable", "variableName": "NATS_PASSWORD"},
        "timeoutRequest": 10000,
        "maxReconnects": null,
        "capacityBatchBytes": "16KB",
        "cluster": {"nodeId": 1, "heartbeat": 2000}
    }

The table in ``_settings`` lists the names. The settings that only fastcoord has are optional. A
member of ``cluster`` may also be a member of the outer object. ``addresses`` may be a list or one
string. Durations are milliseconds, or strings as in TOML. ``null`` means the same as a missing key.
The ``@type`` of a secret is ``Value`` (or ``Text``), ``EnvironmentVariable``, ``File`` or ``None``.
If the ``@type`` of ``authSecret`` is ``None``, ``authUsername`` is ignored: Stalwart writes a
default user name even without a password. The default protocol is ``stalwart-0.16``.

Relative paths (``tls.*-file``, ``%{file:PATH}%`` and ``filePath``) are relative to the folder of
the configuration file. Without a file they are relative to the working directory. Loading a
configuration opens its certificates and keys, so that a wrong file is reported at once.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Literal, NoReturn

from fastcoord.config._address import hide_userinfo
from fastcoord.config._arguments import Settings, has_settings, is_url, read_arguments
from fastcoord.config._credentials import Credentials, check_credentials, split_credentials
from fastcoord.config._describe import as_builtins, describe, doubtful_settings
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
    default_presence_subject,
    default_subject,
)
from fastcoord.config._secret import Secret
from fastcoord.config._template import template
from fastcoord.config._toml import read_toml
from fastcoord.config._values import duration as read_duration
from fastcoord.config._values import size as size_reader
from fastcoord.errors import ConfigError, ConfigProblem

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "PROTOCOLS",
    "Address",
    "Capacity",
    "Cluster",
    "Config",
    "Credentials",
    "Nats",
    "Secret",
    "Settings",
    "Timeout",
    "Tls",
    "as_builtins",
    "check_credentials",
    "default_presence_subject",
    "default_subject",
    "describe",
    "doubtful_settings",
    "has_settings",
    "is_url",
    "load_config",
    "load_with_sources",
    "make_config",
    "parse_config",
    "read_duration",
    "size_reader",
    "split_credentials",
    "template",
]

_LOGIN_AND_HOST = re.compile(r"[^@]*:[^@]*@[^/]+")
_HOST_AND_PORT = re.compile(r"[^/]+:[0-9]+")
LARGEST_FILE = 16 * 1024 * 1024


def load_config(path: str | os.PathLike[str]) -> Config:
    """Load a configuration file, TOML or JSON.

    :param path: the file; relative paths in it are relative to its folder.
    :return: the configuration.
    :raises ConfigError: with all problems of the file.
    """
    name = os.fsdecode(path)
    return _read(_text_of(name), name, _folder_of(name))


def make_config(
    url: str | None = None,
    *,
    node_id: int | Literal["auto"] | None = None,
    protocol: str | None = None,
    **settings: Unpack[Settings],
) -> Config:
    """Build a configuration without a file, from a URL, arguments and environment variables.

    Each setting of docs/settings.md has an argument (``timeout_request``) and a variable
    (``FASTCOORD_TIMEOUT_REQUEST``), except that the servers are ``servers`` and
    ``FASTCOORD_SERVERS``. An argument takes precedence over a variable.

    :param url: the servers, as in ``nats://user:password@host1,host2:4222``.
    :param node_id: the node id, or ``"auto"`` for a free one; 1 by default.
    :param protocol: the wire protocol; ``stalwart-0.15`` by default.
    :param settings: the other settings. Values have the same form as in a file, macros included,
        but a duration needs a unit (``"2s"``) or is a ``timedelta``. ``None`` means not given.
    :return: the configuration.
    :raises TypeError: there is no such argument.
    :raises ConfigError: with all problems, each with the argument or variable that it comes from.
    """
    if url is not None and not is_url(url):
        _refuse("argument `url`", "a URL is needed, such as nats://host:4222")
    arguments = {"node_id": node_id, "protocol": protocol, **settings}
    return read_arguments(url, arguments, os.environ)


def load_with_sources(path: str | os.PathLike[str] | None) -> tuple[Config, dict[str, str]]:
    """Load a configuration file, and find where each of its settings is given.

    :param path: the file; relative paths in it are relative to its folder. A URL of servers is
        completed with environment variables instead. ``None`` reads the variables only.
    :return: the configuration, and the file and line of each given setting by its full TOML key.
    :raises ConfigError: with all problems of the file.
    """
    sources: dict[str, str] = {}
    if path is None:
        return read_arguments(None, None, os.environ, sources), sources
    name = os.fsdecode(path)
    if is_url(path):
        return read_arguments(name, None, os.environ, sources), sources
    return _read(_text_of(name), name, _folder_of(name), sources), sources


def parse_config(text: str, *, name: str = "<string>") -> Config:
    """Read a configuration from a string: TOML, or a JSON object.

    :param text: the configuration. A text that begins with ``{`` is read as JSON. Relative paths
        are relative to the working directory.
    :param name: the name of the configuration in errors and in ``Config.source``.
    :return: the configuration.
    :raises ConfigError: with all problems of the text.
    """
    return _read(text, name, os.getcwd())


def _read(text: str, name: str, folder: str, sources: dict[str, str] | None = None) -> Config:
    text = text.removeprefix("\ufeff")
    if not text.strip():
        _refuse(name, "the configuration is empty")
    if text.lstrip().startswith("{") or name.lower().endswith(".json"):
        return read_json(text, name, folder, sources)
    return read_toml(text, name, folder, sources)


def _folder_of(name: str) -> str:
    return os.path.dirname(os.path.abspath(name))


def _text_of(name: str) -> str:
    if "\n" in name or "://" in name:
        # The error does not show the argument, which may be a configuration with passwords.
        what = "an address" if "\n" not in name else "the text of a configuration"
        _refuse(
            "<path>",
            f"the path of a file is needed, and {what} was given; use parse_config for text and "
            "make_config for an address",
        )
    if not name:
        _refuse("<path>", "the path of a file is needed, and an empty text was given")
    if "\0" in name:
        _refuse(name.replace("\0", "\\0"), "a file's name cannot hold a NUL character")
    try:
        with open(name, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        hint = "; the URL of a server begins with nats:// or tls://"
        # What looks like a login may be one: the error does not show it.
        shown = hide_userinfo(name) if _LOGIN_AND_HOST.fullmatch(name) else name
        is_address = shown != name or _HOST_AND_PORT.fullmatch(name)
        _refuse(shown, f"there is no such file{hint if is_address else ''}")
    except IsADirectoryError:
        _refuse(name, "this is a directory; a file is needed")
    except OSError as error:
        _refuse(name, f"the file cannot be read: {error.strerror}")
    if len(content) > LARGEST_FILE:
        _refuse(name, f"the file is larger than {LARGEST_FILE} bytes, the largest size allowed")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse(name, "the file is not UTF-8, as TOML and JSON must be", line)


def _refuse(name: str, message: str, line: int | None = None) -> NoReturn:
    raise ConfigError([ConfigProblem(name, line, "", message)]) from None
