"""Collect the known keys of a TOML section and report the unknown ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastcoord.config._document import Document, Given
from fastcoord.config._settings import Setting, groups
from fastcoord.config._toml_lines import Path
from fastcoord.config._values import nearest

__all__ = ["collect", "unknown_key"]

OTHER_NAMES = {
    "jwt": "credentials",
    "pass": "password",
    "secret": "password",
    "server": "address",
    "servers": "address",
    "url": "address",
    "urls": "address",
}
"""Names that other tools use for the same settings."""


def collect(
    document: Document,
    table: Mapping[str, Any],
    path: Path,
    settings: dict[str, Setting],
    skipped: frozenset[str],
) -> dict[str, Given]:
    """Flatten a TOML section: tables, inline tables and dotted keys become canonical keys.

    :param document: collects a problem for each unknown key.
    :param table: the section.
    :param path: the path of the section.
    :param settings: the known settings.
    :param skipped: keys of the section to ignore.
    :return: the given settings by canonical key.
    """
    given: dict[str, Given] = {}
    tables = groups(settings)

    def flatten(table: Mapping[str, Any], prefix: str, path: Path) -> None:
        for name, value in table.items():
            key, place = prefix + name, (*path, name)
            if key in skipped:
                continue
            if key in settings:
                if key in given:
                    document.problem(place, "given twice, once in quotes; leave one out")
                else:
                    given[key] = Given(value, place)
            elif isinstance(value, dict) and key in tables:
                flatten(value, key + ".", place)
            elif key in tables:
                members = ", ".join(each for each in settings if each.startswith(key + "."))
                document.problem(place, f"is a table; its settings are {members}")
            else:
                document.problem(place, unknown_key(key, settings))

    flatten(table, "", path)
    return given


def unknown_key(key: str, settings: dict[str, Setting]) -> str:
    """Return the message for an unknown TOML key, with the nearest known one."""
    group, dot, name = key.partition(".")
    members = [each for each in settings if dot and each.startswith(group + dot)]
    if members:
        # Compare without the name of the group, because all members share it.
        ways = {each.removeprefix(group + dot): each for each in members}
    else:
        name = key
        ways = {name: meant for name, meant in OTHER_NAMES.items() if meant in settings}
        ways |= {setting.json: setting.key for setting in settings.values()}
        ways |= {each: each for each in settings}
    if meant := nearest(name, ways):
        return f"unknown key; the nearest known is {meant}"
    return f"unknown key; known here are {', '.join(members or settings)}"
