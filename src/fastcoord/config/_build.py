"""Build a :class:`Config` from the values of a file, and collect every problem."""

from __future__ import annotations

from typing import Any

from fastcoord.config._address import hide_userinfo
from fastcoord.config._credentials import split_credentials
from fastcoord.config._document import Document, Given, Section, quoted, shown
from fastcoord.config._macros import Part, expand
from fastcoord.config._model import Address, Capacity, Cluster, Config, Nats, Timeout, Tls
from fastcoord.config._secret import Secret
from fastcoord.config._settings import CLUSTER, NEVER_SHOWN, SECRETS, STORE, Setting
from fastcoord.config._tls import check_tls, readable_file

__all__ = ["build"]


def build(
    document: Document,
    store_id: str,
    store: Section | None,
    cluster: Section,
    default_protocol: str,
    sources: dict[str, str] | None = None,
) -> Config:
    """Read every setting, and check that the settings fit together.

    :param document: collects the problems; it may already have some.
    :param store_id: the id of the NATS store.
    :param store: the settings of the store; ``None`` if there is none, which is already one of
        the problems.
    :param cluster: the settings of the cluster.
    :param default_protocol: the protocol if the file names none.
    :param sources: receives the place of each given setting, by its full TOML key.
    :return: the configuration.
    :raises ConfigError: with every problem of the file.
    """
    of_cluster = _read_section(document, cluster, CLUSTER)
    if store is None:
        raise document.error()
    of_store = _read_section(document, store, STORE)
    if "address" not in store.given:
        document.problem(store.path_of("address"), 'missing; name the servers, as in ["host:4222"]')
    _check_authentication(document, store)
    check_tls(document, store, of_store)
    if document.problems:
        raise document.error()
    if sources is not None:
        for prefix, section in ((f"store.{quoted(store_id)}.", store), ("cluster.", cluster)):
            for key, given in section.given.items():
                sources[prefix + key] = document.where(given.path).place()
    groups: dict[str, Any] = {
        "tls": Tls(**_take_group(of_store, "tls")),
        "timeout": Timeout(**_take_group(of_store, "timeout")),
        "capacity": Capacity(**_take_group(of_store, "capacity")),
    }
    of_cluster = {"protocol": default_protocol, **of_cluster, "coordinator": store_id}
    return Config(
        nats=Nats(id=store_id, **groups, **_as_fields(of_store)),
        cluster=Cluster(**_as_fields(of_cluster)),
        source=document.name,
    )


def _take_group(values: dict[str, Any], group: str) -> dict[str, Any]:
    prefix = group + "."
    taken = {key: values.pop(key) for key in list(values) if key.startswith(prefix)}
    return _as_fields({key.removeprefix(prefix): value for key, value in taken.items()})


def _as_fields(values: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("-", "_"): value for key, value in values.items()}


class _ReportedError(Exception):
    """A value cannot be used; the document has recorded the problem."""


def _read_section(
    document: Document, section: Section, settings: dict[str, Setting]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, given in section.given.items():
        try:
            if key == "address":
                values[key] = _read_addresses(document, given)
            elif key in SECRETS:
                values[key] = _read_secret(document, key, given)
            else:
                values[key] = _read(document, settings[key], given)
        except _ReportedError:
            pass  # continue, because the next setting may have a problem as well
    return values


def _refuse(document: Document, key: str, given: Given, reason: object) -> _ReportedError:
    value = given.value
    if key == "address" and isinstance(value, str):
        value = hide_userinfo(value)
    visible = "" if key in NEVER_SHOWN else f"{shown(value)} was given; "
    document.problem(given.path, f"{visible}{reason}")
    return _ReportedError()


def _read(document: Document, setting: Setting, given: Given) -> Any:
    value = given.value
    try:
        if isinstance(value, str):
            value = expand(document.split(value))
    except ValueError as error:
        raise _refuse(document, setting.key, given, error) from None
    try:
        read = setting.read(value)
        if setting.key.endswith("-file"):
            return readable_file(document.folder, str(read))
    except ValueError as error:
        resolved = value != given.value
        reason = f"after its macros are replaced, {error}" if resolved else error
        raise _refuse(document, setting.key, given, reason) from None
    return read


def _read_addresses(document: Document, given: Given) -> tuple[Address, ...]:
    if isinstance(given.value, list):
        elements = [
            # The elements of a JSON set are keys, which have their own path.
            value if isinstance(value, Given) else Given(value, (*given.path, index))
            for index, value in enumerate(given.value)
        ]
    elif isinstance(given.value, dict) and all(key.isdigit() for key in given.value):
        # Stalwart's flat form of a list: address.0 = "…", address.1 = "…"
        elements = [
            Given(given.value[key], (*given.path, key)) for key in sorted(given.value, key=int)
        ]
    else:
        elements = [given]
    if not elements:
        raise _refuse(document, "address", given, "at least one address is needed")
    addresses: dict[Address, None] = {}  # without duplicates, in order
    refused: _ReportedError | None = None
    for element in elements:
        try:
            addresses[_read(document, STORE["address"], element)] = None
        except _ReportedError as error:
            refused = error  # the next address may have a problem as well
    if refused:
        raise refused
    return tuple(addresses)


def _read_secret(document: Document, key: str, given: Given) -> Secret:
    try:
        parts = _secret_parts(document, given.value)
        text = expand(parts)
        if not text:
            raise ValueError("the value is empty; leave the key out if you need none")
        if key == "credentials":
            split_credentials(text)
    except ValueError as error:
        raise _refuse(document, key, given, error) from None
    return Secret.from_parts(parts, document.where(given.path))


def _secret_parts(document: Document, value: object) -> tuple[Part, ...]:
    if isinstance(value, tuple):  # the JSON form is already split
        return value
    if isinstance(value, str):
        return document.split(value)
    raise ValueError("a string is needed")


def _check_authentication(document: Document, section: Section) -> None:
    given = section.given
    user, password = (document.spell(section.where(key)) for key in ("user", "password"))
    if "credentials" in given:
        if "user" in given or "password" in given:
            document.problem(
                given["credentials"].path,
                f"{user} or {password} is set as well; choose one way to authenticate",
            )
    elif "user" in given and "password" not in given:
        document.problem(given["user"].path, f"{password} is missing; both are needed")
    elif "password" in given and "user" not in given:
        document.problem(given["password"].path, f"{user} is missing; both are needed")
