"""Build a configuration without a file, from arguments, a URL and environment variables.

The table in ``_settings`` holds the settings. Each one has an argument and an environment variable:
``timeout.request`` is the argument ``timeout_request`` and the variable
``FASTCOORD_TIMEOUT_REQUEST``. Only the servers have another name: ``servers`` and
``FASTCOORD_SERVERS``.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from fastcoord.config._build import build
from fastcoord.config._document import Document, Given, Section
from fastcoord.config._macros import Part
from fastcoord.config._model import Config
from fastcoord.config._settings import CLUSTER, DURATIONS, SECRETS, STORE
from fastcoord.config._toml_lines import Path
from fastcoord.config._url import Servers, split_servers
from fastcoord.config._values import nearest
from fastcoord.errors import ConfigProblem

__all__ = [
    "ARGUMENTS",
    "VARIABLES",
    "Settings",
    "has_settings",
    "is_url",
    "read_arguments",
]

Duration = str | datetime.timedelta
PathName = str | os.PathLike[str]

STORE_ID = "nats"
PREFIX = "FASTCOORD_"
ARGUMENT = "argument"
VARIABLE = "environment variable"
URL = "the URL"
LOGIN = ("user", "password")


def argument_name(key: str) -> str:
    """Return the argument for a key of the table."""
    return "servers" if key == "address" else key.replace(".", "_").replace("-", "_")


ARGUMENTS = {argument_name(key): key for key in (*STORE, *CLUSTER) if key != "coordinator"}
"""The key of each argument."""


class Settings(TypedDict, total=False):
    """The settings that ``connect`` takes as arguments, apart from ``node_id`` and ``protocol``."""

    servers: str | Iterable[str] | None
    user: str | None
    password: str | None
    credentials: str | None
    no_echo: bool | None
    tls_enable: bool | None
    tls_ca_file: PathName | None
    tls_cert_file: PathName | None
    tls_key_file: PathName | None
    tls_handshake_first: bool | None
    timeout_connection: Duration | None
    timeout_request: Duration | None
    ping_interval: Duration | None
    max_reconnects: int | None
    capacity_client: int | None
    capacity_subscription: int | None
    capacity_read_buffer: int | None
    capacity_subscription_bytes: int | str | None
    capacity_batch_bytes: int | str | None
    subject: str | None
    presence_subject: str | None
    stream: str | None
    stream_domain: str | None
    heartbeat: Duration | None
    max_age: Duration | None
    pace: Duration | int | None


VARIABLES = {PREFIX + name.upper(): key for name, key in ARGUMENTS.items()}
"""The key of each environment variable."""


def is_url(config: object) -> bool:
    """Return whether an argument is the URL of servers, and not a path."""
    return isinstance(config, str) and "://" in config and "\n" not in config


def has_settings(environment: Mapping[str, str]) -> bool:
    """Return whether a variable is a setting, or looks like a mistyped one."""
    document = Sources()
    return bool(_from_environment(document, environment) or document.problems)


class Sources(Document):
    """Collect the problems of arguments and environment variables, each named by its source."""

    def __init__(self) -> None:
        super().__init__("<arguments>", os.getcwd(), dict, spell)

    def where(self, path: Path, line: int | None = None) -> ConfigProblem:
        spelled = spell(path)
        place = spelled if path[0] == URL else f"{path[0]} {spelled}"
        return ConfigProblem(place, None, "", "")


def spell(path: Path) -> str:
    """Write the name of an argument or variable, with the index of a list."""
    if path[0] == URL:
        return URL
    source, name, *indices = path
    spelled = f"{name}{''.join(f'[{index}]' for index in indices)}"
    return f"`{spelled}`" if source == ARGUMENT else spelled


def read_arguments(
    url: str | None,
    arguments: Mapping[str, Any] | None,
    environment: Mapping[str, str],
    sources: dict[str, str] | None = None,
) -> Config:
    """Build a configuration from a URL, arguments and environment variables.

    An argument takes precedence over a variable. A way to authenticate that arguments or the URL
    give replaces the other way of the environment.

    :param url: ``nats://user:password@host1,host2:4222``, or ``None``.
    :param arguments: the arguments by name; ``None`` means the same as a missing one. A command
        has none: then errors about a missing setting name its variable.
    :param environment: the environment variables. Empty ones are ignored.
    :param sources: receives the source of each given setting, by its full TOML key.
    :return: the configuration.
    :raises TypeError: there is no such argument.
    :raises ConfigError: with every problem.
    """
    document = Sources()
    given = _from_arguments(document, arguments or {})
    if url is not None:
        if "address" in given:
            document.problem(given["address"].path, "the URL names servers as well; leave one out")
        given["address"] = Given(url, (URL,))
    _split_login(document, given)
    of_environment = _from_environment(document, environment)
    if "address" in given:
        of_environment.pop("address", None)
    _split_login(document, of_environment)
    if "credentials" in given:
        for key in LOGIN:
            of_environment.pop(key, None)
    elif any(key in given for key in LOGIN):
        of_environment.pop("credentials", None)
    given = of_environment | given
    if "address" not in given:
        if arguments is None:
            path, what = _variable_of("address"), "give FILE or URL, or set it"
        else:
            path = _path_of("address")
            what = (
                "pass the path of a file, a URL such as nats://host:4222, or servers, or set"
                f" {PREFIX}SERVERS"
            )
        document.problem(path, f"missing; {what}")
        raise document.error()
    path_of = _variable_of if arguments is None else _path_of
    store, cluster = (
        Section({key: given[key] for key in table if key in given}, path_of)
        for table in (STORE, CLUSTER)
    )
    return build(document, STORE_ID, store, cluster, "stalwart-0.15", sources)


def _path_of(key: str) -> Path:
    return (ARGUMENT, argument_name(key))


def _variable_of(key: str) -> Path:
    return (VARIABLE, PREFIX + argument_name(key).upper())


def _from_arguments(document: Document, arguments: Mapping[str, Any]) -> dict[str, Given]:
    given = {}
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            near = nearest(name, {each: each for each in ARGUMENTS} | {"address": "servers"})
            hint = f"; the nearest known is {near}" if near else f"; known are {list(ARGUMENTS)}"
            raise TypeError(f"there is no argument {name!r}{hint}")
        if value is None:
            continue
        key = ARGUMENTS[name]
        path = (ARGUMENT, name)
        if isinstance(value, os.PathLike) and key.endswith("-file"):
            value = os.fspath(value)
        elif key in DURATIONS:
            try:
                value = _milliseconds(value)
            except ValueError as error:
                document.problem(path, str(error))
                continue
        given[key] = Given(value, path)
    return given


def _milliseconds(value: object) -> object:
    """Convert a ``timedelta``; refuse a number, which could be seconds or milliseconds."""
    if isinstance(value, datetime.timedelta):
        return round(value / datetime.timedelta(milliseconds=1))
    if isinstance(value, int | float) and value:
        raise ValueError('a number has no unit here: write "2s" or "250ms", or pass a timedelta')
    return value


def _from_environment(document: Document, environment: Mapping[str, str]) -> dict[str, Given]:
    given = {}
    for name, value in environment.items():
        if not name.startswith(PREFIX) or not value:
            continue
        path = (VARIABLE, name)
        key = VARIABLES.get(name)
        if key is None:
            # Other programs may use the prefix as well, so only a likely mistake is reported.
            near = nearest(name.removeprefix(PREFIX), NAMES_WITHOUT_PREFIX, 0.8)
            if near:
                document.problem(path, f"unknown; the nearest known is {PREFIX}{near}")
            continue
        parts: object = value
        if key in SECRETS and "%{" not in value:
            parts = (Part("env", name),)
        given[key] = Given(parts, path)
    return given


NAMES_WITHOUT_PREFIX = {name: name for name in (each.removeprefix(PREFIX) for each in VARIABLES)}


def _split_login(document: Document, given: dict[str, Given]) -> None:
    """Take user name and password out of the servers, and make a list of the servers."""
    servers = given.get("address")
    if servers is None:
        return
    value, path = servers
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        value = list(value)
    try:
        found: Servers = split_servers(value)
    except ValueError as error:
        # The value is not shown: it may contain a password.
        document.problem(path, str(error))
        given["address"] = Given(["unusable"], path)
        return
    is_list = isinstance(value, list)
    given["address"] = Given(
        [
            Given(address, (*path, index) if is_list else path)
            for address, index in zip(found.addresses, found.indices, strict=True)
        ],
        path,
    )
    for key, text in ((LOGIN[0], found.user), (LOGIN[1], found.password)):
        if text is None:
            continue
        if key in given:
            document.problem(
                given[key].path, f"given twice, also in {document.spell(path)}; leave one out"
            )
        # A text of a URL has no macros.
        given[key] = Given(text if key == "user" else (Part("text", text),), path)
