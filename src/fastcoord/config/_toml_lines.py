"""Find the line of each key of a TOML document.

tomli returns values without lines. This scanner finds the lines in a document that tomli has
accepted. It does not validate the document; it only has to skip values correctly.
"""

from __future__ import annotations

import bisect
import re

import tomli

__all__ = ["DEEPEST", "Path", "toml_lines"]

Path = tuple[str | int, ...]
"""The keys from the document's root down; a number is the index in an array."""

DEEPEST = 8
"""The maximum length of a path. Settings have shorter ones, and memory grows quadratically."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]\}#\n]*")


def toml_lines(text: str) -> dict[Path, int]:
    """Map each key, table and array element of a TOML document to its line.

    :param text: a document that tomli reads without error.
    :return: the line of each path, counted from 1. For a table that is opened more than once, it
        is the first line. A path whose line cannot be found is left out, without an error.
    """
    scanner = _Scanner(text)
    try:
        scanner.document()
    except (_LostError, RecursionError):
        pass  # keep what was found up to here
    return scanner.lines


class _LostError(Exception):
    """The scanner has met text that it does not expect."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.lines: dict[Path, int] = {}
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._array_tables: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self.position == len(self.text):
                return
            if self._take("[["):
                table = self._array_table(self._key())
                self._expect("]]")
            elif self._take("["):
                table = self._resolve(self._key())
                self._expect("]")
            else:
                self._pair(table)

    def _pair(self, table: Path) -> None:
        path = self._note(table, *self._key())
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._take("["):
            self._elements(path)
        elif self._take("{"):
            self._members(path)
        elif string := _STRING.match(self.text, self.position):
            self.position = string.end()
        else:
            self._skip(_SCALAR)

    def _elements(self, path: Path) -> None:
        index = 0
        self._skip(_BLANK)
        while not self._take("]"):
            self._value(self._note(path, index))
            index += 1
            self._separator("]")

    def _members(self, path: Path) -> None:
        self._skip(_BLANK)
        while not self._take("}"):
            self._pair(path)
            self._separator("}")

    def _separator(self, closing: str) -> None:
        self._skip(_BLANK)
        if not self._take(",") and not self.text.startswith(closing, self.position):
            raise _LostError
        self._skip(_BLANK)

    def _array_table(self, keys: list[str]) -> Path:
        path = self._note(self._resolve(keys[:-1]), keys[-1])
        index = self._array_tables.get(path, -1) + 1
        self._array_tables[path] = index
        return self._note(path, index)

    def _resolve(self, keys: list[str]) -> Path:
        path: Path = ()
        for key in keys:
            path = self._note(path, key)
            if path in self._array_tables:
                path = (*path, self._array_tables[path])
        return path

    def _note(self, path: Path, *parts: str | int) -> Path:
        for part in parts:
            if len(path) < DEEPEST:
                path = (*path, part)
                self.lines.setdefault(path, self._line())
        return path

    def _key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            if bare := _BARE_KEY.match(self.text, self.position):
                keys.append(bare[0])
                self.position = bare.end()
            elif quoted := _STRING.match(self.text, self.position):
                keys.append(_unquote(quoted[0]))
                self.position = quoted.end()
            else:
                raise _LostError
            self._skip(_SPACE)
            if not self._take("."):
                return keys

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self.text, self.position):
            self.position = match.end()

    def _take(self, token: str) -> bool:
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise _LostError

    def _line(self) -> int:
        return bisect.bisect_right(self._starts, self.position)


def _unquote(quoted: str) -> str:
    if quoted.startswith("'"):
        return quoted[1:-1]
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        return str(tomli.loads(f"key = {quoted}")["key"])
    except tomli.TOMLDecodeError:
        raise _LostError from None
