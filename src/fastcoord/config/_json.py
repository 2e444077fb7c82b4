"""The JSON form: the coordinator object of Stalwart 0.16 and later."""

from __future__ import annotations

import json
import os
from typing import Any, NoReturn

from fastcoord.config._build import build
from fastcoord.config._document import Document, Given, Section, shown, spell_json
from fastcoord.config._json_lines import json_lines, repeated_keys
from fastcoord.config._macros import Part
from fastcoord.config._model import Config
from fastcoord.config._settings import CLUSTER, SECRETS, STORE, Setting
from fastcoord.config._toml_lines import Path
from fastcoord.config._values import nearest

__all__ = ["read_json"]

STORE_ID = "nats"
TYPE = "@type"
SKIPPED = frozenset({TYPE, "id"})
_SECRET_FIELDS = {
    "Value": "secret",
    "Text": "secret",
    "EnvironmentVariable": "variableName",
    "File": "filePath",
}
_KINDS = ("Value", "EnvironmentVariable", "File")
_IN_STORE = {setting.json: setting.key for setting in STORE.values()}
_IN_CLUSTER = {each.json: each.key for each in CLUSTER.values() if each.key != "coordinator"}


def read_json(text: str, name: str, folder: str, sources: dict[str, str] | None = None) -> Config:
    """Read the JSON form.

    :param text: the object.
    :param name: the name of the file in problems.
    :param folder: the absolute path of the folder that relative paths start from.
    :param sources: receives the place of each given setting, by its full TOML key.
    :return: the configuration.
    :raises ConfigError: with every problem of the file.
    """
    document = Document(name, folder, lambda: json_lines(text), spell_json)
    root = _parse(document, text)
    for path, line in repeated_keys(text):
        document.problem(path, "given twice; JSON keeps only the last", line)
    _check_type(document, root)
    cluster = Section({}, lambda key: ("cluster", CLUSTER[key].json))
    store = Section({}, lambda key: (STORE[key].json,))
    for key, value in root.items():
        if key in SKIPPED or value is None:
            continue
        if key in _IN_STORE:
            store.given[_IN_STORE[key]] = Given(value, (key,))
        elif key == "cluster":
            _collect_cluster(document, value, cluster)
        elif key in _IN_CLUSTER:
            _add(document, cluster, _IN_CLUSTER[key], Given(value, (key,)))
        else:
            document.problem((key,), _unknown(key, STORE | CLUSTER, {"cluster": "cluster"}))
    _use_set(document, store)
    _use_secrets(document, store)
    return build(document, STORE_ID, store, cluster, "stalwart-0.16", sources)


def _parse(document: Document, text: str) -> dict[str, Any]:
    try:
        root = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        reason = f"{error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})"
        document.problem((), f"this is not JSON: {reason}", error.lineno)
        raise document.error() from None
    except RecursionError:
        document.problem((), "this JSON is nested too deeply to be read")
        raise document.error() from None
    except ValueError:
        document.problem((), "this JSON holds a number that cannot be read")
        raise document.error() from None
    if not isinstance(root, dict):
        document.problem((), f'an object is needed, {{"{TYPE}": "Nats", …}}')
        raise document.error()
    return root


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_type(document: Document, root: dict[str, Any]) -> None:
    if TYPE not in root:
        document.problem((TYPE,), f'missing; set "{TYPE}": "Nats"')
    elif root[TYPE] != "Nats":
        document.problem(
            (TYPE,),
            f'{shown(root[TYPE])} was given; only a coordinator of type "Nats" is supported',
        )


def _collect_cluster(document: Document, value: object, cluster: Section) -> None:
    if not isinstance(value, dict):
        document.problem(("cluster",), f"{shown(value)} was given; an object is needed")
        return
    for key, member in value.items():
        path = ("cluster", key)
        if key not in _IN_CLUSTER:
            document.problem(path, _unknown(key, CLUSTER, {}))
        elif member is not None:
            _add(document, cluster, _IN_CLUSTER[key], Given(member, path))


def _add(document: Document, section: Section, key: str, given: Given) -> None:
    if key in section.given:
        other = document.spell(section.given[key].path)
        document.problem(given.path, f"given twice, also as {other}; leave one out")
    else:
        section.given[key] = given


def _unknown(key: str, settings: dict[str, Setting], further: dict[str, str]) -> str:
    names = [each.json for each in settings.values() if each.key != "coordinator"]
    ways = {each.key: each.json for each in settings.values() if each.json in names}
    ways |= {name: name for name in names} | further
    if meant := nearest(key, ways):
        return f"unknown key; the nearest known is {meant}"
    return f"unknown key; known here are {', '.join([*names, *further])}"


def _use_set(document: Document, store: Section) -> None:
    """Convert a set, ``{"host:port": true}``, to a list of elements with their paths."""
    given = store.given.get("address")
    if given is None or not isinstance(given.value, dict):
        return
    for key, value in given.value.items():
        if value is not True:
            document.problem((*given.path, key), f"{shown(value)} was given; allowed is true")
    elements = [Given(key, (*given.path, key)) for key in given.value]
    store.given["address"] = given._replace(value=elements)


def _use_secrets(document: Document, store: Section) -> None:
    """Convert secret objects to the parts of a secret."""
    for key in sorted(SECRETS):
        given = store.given.get(key)
        if given is None:
            continue
        if isinstance(given.value, dict) and given.value.get(TYPE) == "None":
            del store.given[key]
            if key == "password":
                # Stalwart writes its default user name even without a password.
                store.given.pop("user", None)
            continue
        parts = _secret(document, given.value, given.path)
        if parts is None:
            del store.given[key]
            if key == "password":
                store.given.pop("user", None)
        else:
            store.given[key] = given._replace(value=parts)


def _secret(document: Document, value: object, path: Path) -> tuple[Part, ...] | None:
    forms = " or ".join(f'{{"{TYPE}": "{kind}", "{_SECRET_FIELDS[kind]}": …}}' for kind in _KINDS)
    if not isinstance(value, dict):
        document.problem(path, f"a secret is an object: {forms}")
        return None
    kind = value.get(TYPE)
    if not isinstance(kind, str) or kind not in _SECRET_FIELDS:
        document.problem((*path, TYPE), f"a secret is {forms}")
        return None
    field = _SECRET_FIELDS[kind]
    for key in value:
        if key not in (TYPE, field):
            document.problem((*path, key), f"unknown key; a secret of type {kind} has only {field}")
    content = value.get(field)
    if not isinstance(content, str) or not content:
        document.problem((*path, field), "a string that is not empty is needed")
        return None
    if kind == "EnvironmentVariable":
        return (Part("env", content),)
    if kind == "File":
        return (Part("file", os.path.join(document.folder, content)),)
    return (Part("text", content),)
