"""A configuration text and its problems, each with its line and key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from fastcoord.config._macros import Part, split_macros
from fastcoord.config._toml_lines import Path
from fastcoord.errors import ConfigError, ConfigProblem

__all__ = ["Document", "Given", "Section", "quoted", "shown", "spell_json", "spell_toml"]

LONGEST_SHOWN = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Given(NamedTuple):
    """The value of a setting in the file, and its path."""

    value: object
    path: Path


class Section(NamedTuple):
    """The settings of one section of the file."""

    given: dict[str, Given]
    """The given settings by canonical key, such as ``timeout.request``."""
    path_of: Callable[[str], Path]
    """Returns the path that a canonical key has in this file."""

    def where(self, key: str) -> Path:
        """Return the path of a canonical key, whether the file has it or not."""
        return self.given[key].path if key in self.given else self.path_of(key)


class Document:
    """Collect the problems of a configuration text.

    :param name: the name of the file in problems.
    :param folder: the absolute path of the folder that relative paths start from.
    :param find_lines: returns the line of each path; called only if there is a problem.
    :param spell: writes a path in the syntax of the file.
    :ivar setting: returns the text of a setting of the file, for ``%{cfg:KEY}%``; ``None`` where
        this macro does not exist.
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
        self.setting: Callable[[str], str] | None = None

    def split(self, text: str) -> tuple[Part, ...]:
        """Split a string into text and macros.

        :raises ValueError: a macro is wrong.
        """
        return split_macros(text, self.folder, self.setting)

    def problem(self, path: Path, message: str, line: int | None = None) -> None:
        """Add a problem of the key at this path."""
        self.problems.append(self.where(path, line)._replace(message=message))

    def where(self, path: Path, line: int | None = None) -> ConfigProblem:
        """Return a problem without a message for the key at this path."""
        if line is None and path:  # a text that cannot be parsed has no paths and lines
            if self._lines is None:
                self._lines = self._find_lines()
            line = self._lines.get(path)
        return ConfigProblem(self.name, line, self.spell(path), "")

    def error(self) -> ConfigError:
        """Return the error with all problems by line; those without a line come last."""
        return ConfigError(sorted(self.problems, key=lambda each: each.line or 2**62))


def spell_toml(path: Path) -> str:
    """Write a path in the syntax of TOML, with the id of a store in quotes."""
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
    """Write a string in double quotes: on one line, printable, and shortened if it is long."""
    cut = text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
    escaped = json.dumps(cut, ensure_ascii=False)
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in escaped)


def shown(value: object) -> str:
    """Format a given value for an error; the caller must not pass secrets.

    A macro is shown as it is written, not its content.
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
    except ValueError:  # an integer with more digits than Python converts
        return "a number with thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
