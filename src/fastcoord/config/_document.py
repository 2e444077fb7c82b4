"""A configuration text with its problems: where each stands, how its key is spelled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from fastcoord.config._toml_lines import Path
from fastcoord.errors import ConfigError, ConfigProblem

__all__ = ["Document", "Given", "Section", "quoted", "shown", "spell_json", "spell_toml"]

LONGEST_SHOWN = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Given(NamedTuple):
    """A setting as the file has it."""

    value: object
    path: Path


class Section(NamedTuple):
    """The settings of one part of the file."""

    given: dict[str, Given]
    """By canonical key, such as ``timeout.request``."""
    path_of: Callable[[str], Path]
    """Where a canonical key would stand in this file."""

    def where(self, key: str) -> Path:
        """Return where a canonical key stands, or would stand."""
        return self.given[key].path if key in self.given else self.path_of(key)


class Document:
    """A text under reading, collecting its problems.

    :param name: the file's name, for problems.
    :param folder: the absolute path that relative paths begin at.
    :param find_lines: gives the line of each key; called only when there is a problem.
    :param spell: writes a path the way that the file would.
    """

    def __init__(
        self,
        name: str,
        folder: str,
        find_lines: Callable[[], dict[Path, int]],
        spell: Callable[[Path], str],
    ) -> None:
        self.name = name
        self.folder = folder
        self.problems: list[ConfigProblem] = []
        self._find_lines = find_lines
        self._lines: dict[Path, int] | None = None
        self.spell = spell

    def problem(self, path: Path, message: str, line: int | None = None) -> None:
        """Note a problem with the key at this path."""
        self.problems.append(self.where(path, line)._replace(message=message))

    def where(self, path: Path, line: int | None = None) -> ConfigProblem:
        """Return the place of a path, as a problem without a message."""
        if line is None and path:  # the whole text, with no path, may not be one to scan
            if self._lines is None:
                self._lines = self._find_lines()
            line = self._lines.get(path)
        return ConfigProblem(self.name, line, self.spell(path), "")

    def error(self) -> ConfigError:
        """Return what was noted, in the order of lines; what has no line comes last."""
        return ConfigError(sorted(self.problems, key=lambda each: each.line or 2**62))


def spell_toml(path: Path) -> str:
    """Write a path as TOML would; the id of a store in quotes, as is the custom."""
    spelled = ""
    for depth, part in enumerate(path):
        if isinstance(part, int):
            spelled += f"[{part}]"
            continue
        is_store_id = depth == 1 and path[0] == "store"
        bare = bool(_BARE_KEY.fullmatch(part)) and not is_store_id
        spelled += "." if spelled else ""
        spelled += part if bare else quoted(part)
    return spelled


def spell_json(path: Path) -> str:
    """Write a path with dots, as in ``authSecret.variableName``."""
    spelled = ""
    for part in path:
        if isinstance(part, int):
            spelled += f"[{part}]"
            continue
        plain = bool(re.fullmatch(r"@?[A-Za-z0-9_-]+", part, re.ASCII))
        spelled += "." if spelled else ""
        spelled += part if plain else quoted(part)
    return spelled


def quoted(text: str) -> str:
    """Show a string in double quotes: on one line, printable, and not too long."""
    cut = text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
    escaped = json.dumps(cut, ensure_ascii=False)
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in escaped)


def shown(value: object) -> str:
    """Show what was given, for a key that is no secret.

    What came from a macro is shown as the macro, never as its content.
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "null"
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python writes out
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
