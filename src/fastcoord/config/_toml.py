"""The TOML form: the file that configures Stalwart up to 0.15."""

from __future__ import annotations

from functools import partial
from typing import Any

import tomli

from fastcoord.config._build import build
from fastcoord.config._dialect import DialectError, to_toml
from fastcoord.config._document import Document, Section, quoted, shown, spell_toml
from fastcoord.config._keys import collect
from fastcoord.config._macros import expand, setting_of
from fastcoord.config._model import Config
from fastcoord.config._settings import CLUSTER, STORE
from fastcoord.config._toml_lines import toml_lines
from fastcoord.config._values import nearest

__all__ = ["read_toml"]

SKIPPED_IN_CLUSTER = frozenset(
    # Stalwart alone uses roles. The other keys belong to the gossip protocol of old releases.
    {"roles", "advertise-addr", "bind-addr", "bind-port", "key", "seed-nodes"}
)
_REASONS = {
    "Cannot declare": "the table is declared twice",
    "Cannot mutate": "the key or table is given twice",
    "Cannot overwrite": "the key or table is given twice",
    "Cannot redefine": "the key or table is given twice",
    "Duplicate inline table key": "a key of the inline table is given twice",
    "Found invalid character": "there is a character that TOML does not allow",
    "Illegal character '\\n'": "a string does not end on its line",
    "Illegal character": "there is a character that TOML does not allow",
    "Invalid value": "invalid value; text needs quotes",
}


def read_toml(text: str, name: str, folder: str, sources: dict[str, str] | None = None) -> Config:
    """Read the TOML form.

    :param text: the document.
    :param name: the name of the file in problems.
    :param folder: the absolute path of the folder that relative paths start from.
    :param sources: receives the place of each given setting, by its full TOML key.
    :return: the configuration.
    :raises ConfigError: with every problem of the file.
    """
    document = Document(name, folder, lambda: toml_lines(toml), spell_toml)
    root, toml = _parse(document, text)
    document.setting = partial(setting_of, root)
    stores = _table(document, root, "store")
    given_cluster = _table(document, root, "cluster")
    store_id = _coordinator(document, root, given_cluster, stores)
    cluster = Section(
        collect(document, given_cluster, ("cluster",), CLUSTER, SKIPPED_IN_CLUSTER),
        lambda key: ("cluster", *key.split(".")),
    )
    # The coordinator is already checked; reading it again would report its problems twice.
    coordinator = cluster.given.pop("coordinator", None)
    if sources is not None and coordinator is not None:
        sources["cluster.coordinator"] = document.where(coordinator.path).place()
    store = None
    if store_id is not None:
        path = ("store", store_id)
        store = Section(
            collect(document, stores[store_id], path, STORE, frozenset({"type"})),
            lambda key: (*path, *key.split(".")),
        )
    return build(document, store_id or "", store, cluster, "stalwart-0.15", sources)


def _parse(document: Document, text: str) -> tuple[dict[str, Any], str]:
    """Parse a text as TOML or, if that fails, as Stalwart's dialect of TOML.

    :return: the root table and the TOML that it was parsed from.
    """
    try:
        return tomli.loads(text), text
    except tomli.TOMLDecodeError as error:
        message = f"this is not TOML: {_reason(error.msg)} (column {error.colno})"
        line: int | None = error.lineno
    except (RecursionError, ValueError) as error:
        document.problem((), _limit(error))
        raise document.error() from None
    try:
        toml = to_toml(text)
        return tomli.loads(toml), toml
    except DialectError as error:
        # Stalwart rejects the text as well. tomli may have stopped earlier, at syntax that Stalwart
        # accepts; the mistake is in the later line.
        if line is None or error.line > line:
            message, line = "this is neither TOML nor Stalwart's dialect of TOML", error.line
    except tomli.TOMLDecodeError as error:
        message, line = f"this is not TOML: {_reason(error.msg)}", error.lineno
    except (RecursionError, ValueError) as error:
        message, line = _limit(error), None
    document.problem((), message, line)
    raise document.error() from None


def _limit(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "this TOML is nested too deeply to be read"
    # Python refuses to convert an integer with more than a few thousand digits.
    return "this TOML holds a number too long to be read"


def _reason(message: str) -> str:
    """Return the reason that tomli gives, without text of the document, which may be secret."""
    for start, reason in _REASONS.items():
        if message.startswith(start):
            return reason
    return message[:1].lower() + message[1:]


def _table(document: Document, root: dict[str, Any], name: str) -> dict[str, Any]:
    table = root.get(name, {})
    if isinstance(table, dict):
        return table
    document.problem((name,), f"{shown(table)} was given; a table is needed, [{name}]")
    return {}


def _coordinator(
    document: Document, root: dict[str, Any], cluster: dict[str, Any], stores: dict[str, Any]
) -> str | None:
    """Return the id of the store that ``coordinator`` names.

    If ``coordinator`` cannot be used, return the only NATS store, so that its problems are reported
    as well.
    """
    path = ("cluster", "coordinator")
    nats = [key for key, store in stores.items() if _type_of(document, store) == "nats"]
    offer = f"the NATS stores of this file are {', '.join(map(quoted, nats))}"
    if not nats:
        offer = 'this file has no store of type "nats"; add [store."nats"] with type = "nats"'
    fallback = nats[0] if len(nats) == 1 else None
    if "coordinator" not in cluster:
        near = nearest("cluster", {name: name for name in root if name != "cluster"})
        if "cluster" not in root and near:
            offer += f"; was {quoted(near)} meant to be cluster?"
        document.problem(path, f"missing; the id of a NATS store is needed: {offer}")
        return fallback
    given = cluster["coordinator"]
    try:
        if not isinstance(given, str) or not given:
            raise ValueError(f"the id of a store is needed: {offer}")
        name = expand(document.split(given))
        if name not in stores:
            raise ValueError(f"there is no such store; {offer}")
    except ValueError as error:
        document.problem(path, f"{shown(given)} was given; {error}")
        return fallback
    if not isinstance(stores[name], dict):
        document.problem(("store", name), f"{shown(stores[name])} was given; a table is needed")
        return None
    return name if _is_nats(document, name, stores[name], offer) else fallback


def _is_nats(document: Document, name: str, store: dict[str, Any], offer: str) -> bool:
    path = ("store", name, "type")
    if "type" not in store:
        document.problem(path, 'missing; set type = "nats"')
        return True
    kind = _type_of(document, store)
    if kind == "nats":
        return True
    given = f"{shown(store['type'])} was given"
    if isinstance(kind, str) and nearest(kind, {"nats": "nats"}):
        document.problem(path, f'{given}; the coordinator needs "nats"')
        return True
    document.problem(
        path, f'{given}; cluster.coordinator must name a store of type "nats"; {offer}'
    )
    return False


def _type_of(document: Document, store: object) -> object:
    """Return the type of a store; a macro that cannot be replaced is returned unchanged."""
    kind = store.get("type") if isinstance(store, dict) else None
    if not isinstance(kind, str):
        return kind
    try:
        return expand(document.split(kind))
    except ValueError:
        return kind
