"""Rewrite Stalwart's dialect of TOML to TOML.

Stalwart's own parser reads more than TOML: sets (``{"a", "b"}``), bare values (``192.168.0.1``),
any character after a backslash, line breaks in quoted strings and in inline tables, and tables
that are declared twice. This module rewrites a configuration that is not valid TOML. It converts
the tables ``store`` and ``cluster`` and those that they refer to with ``%{cfg:KEY}%``, and removes
everything else. Lines keep their numbers.
"""

from __future__ import annotations

import re

__all__ = ["DialectError", "to_toml"]

OURS = frozenset({"store", "cluster"})
MAX_DEPTH = 10

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t\r]*")
_LINE = re.compile(r"[^\n]*")
_REST = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?=\n|\Z)")
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\""
_HEADER = re.compile(rf"(\[\[?)((?:{_QUOTED}|[A-Za-z0-9_.\- \t])+)(\]\]?)", re.ASCII)
_KEY = re.compile(rf"(?=[A-Za-z0-9\"])(?:{_QUOTED}|[^=\"\n])+", re.ASCII)
_MEMBER = re.compile(rf"(?:{_QUOTED}|[^=,}}\"\n])+")
_KEY_PART = re.compile(rf"{_QUOTED}|[^.\"]+")
_TOML_KEY_PART = re.compile(r"[ \t]*[A-Za-z0-9_-]*[ \t]*", re.ASCII)
_REFERENCE = re.compile(r"%\{cfg:\"?([A-Za-z0-9_-]+)", re.ASCII)
_BARE = re.compile(r"(?:[^\W_]|[.+\-])+")
_TOML_BARE = re.compile(r"true|false|[+-]?(?:0|[1-9][0-9]*)", re.ASCII)
_LONG = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
_WHITE_SPACE = " \t\r\n"
_SHORT = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)|\"", re.DOTALL)
_TOML_ESCAPES = frozenset('btnfr"\\')


class DialectError(Exception):
    """The text is not in Stalwart's dialect either.

    :ivar line: the line that cannot be read, counted from 1.
    """

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


def to_toml(text: str) -> str:
    """Rewrite a configuration of Stalwart to TOML.

    :param text: the configuration.
    :return: TOML that has only ``store``, ``cluster`` and what they refer to, with the same line
        numbers.
    :raises DialectError: the text is not in Stalwart's dialect.
    """
    text = text.replace("\r\n", "\n")
    wanted = OURS
    while True:
        written = _Rewriter(text, wanted).document()
        referenced = wanted | set(_REFERENCE.findall(written))
        if referenced == wanted:
            return written
        wanted = referenced


class _Rewriter:
    def __init__(self, text: str, wanted: frozenset[str]) -> None:
        self._text = text
        self._wanted = wanted
        self._position = 0

    def document(self) -> str:
        written: list[str] = []
        table: str | None = None
        while True:
            written.append(_newlines(self._take(_BLANK)))
            if self._position == len(self._text):
                return "".join(written)
            if self._peek() == "[":
                statement = self._take(_HEADER)
                table = _first_part(statement.strip("[]"))
                self._take(_LINE)
            else:
                statement = self._pair()
                self._take(_REST)
            part = table if table is not None else _first_part(statement)
            written.append(statement if part in self._wanted else _newlines(statement))

    def _pair(self) -> str:
        key = self._take(_KEY)
        self._expect("=")
        return f"{_toml_key(key)} = {self._value(0)}"

    def _value(self, depth: int) -> str:
        self._take(_SPACE)
        if depth == MAX_DEPTH:
            raise self._error()
        mark = self._peek()
        if mark == "[":
            return self._array(depth)
        if mark == "{":
            return self._table(depth)
        if self._text.startswith(('"""', "'''"), self._position):
            return self._long_string()
        if mark in ('"', "'"):
            return self._short_string()
        bare = self._take(_BARE)
        return bare if _TOML_BARE.fullmatch(bare) else f'"{bare}"'

    def _array(self, depth: int) -> str:
        self._expect("[")
        written = ["[", _newlines(self._take(_BLANK))]
        while self._peek() != "]":
            written += [self._value(depth + 1), _newlines(self._take(_BLANK))]
            if self._peek() != "]":
                self._expect(",")
                written += [", ", _newlines(self._take(_BLANK))]
        self._expect("]")
        return "".join([*written, "]"])

    def _table(self, depth: int) -> str:
        """Rewrite an inline table or a set. Its line breaks move behind it: TOML forbids them."""
        self._expect("{")
        members: list[str] = []
        start = self._position
        self._take(_BLANK)
        while self._peek() != "}":
            key = self._take(_MEMBER).strip()
            if self._peek() == "=":
                self._expect("=")
                members.append(f"{_toml_key(key)} = {self._value(depth + 1)}")
            else:
                members.append(f"{_as_key(key)} = true")
            self._take(_BLANK)
            if self._peek() != "}":
                self._expect(",")
                self._take(_BLANK)
        self._expect("}")
        written = "{" + ", ".join(members) + "}"
        breaks = self._text.count("\n", start, self._position) - written.count("\n")
        return written + "\n" * breaks

    def _long_string(self) -> str:
        match = _LONG.match(self._text, self._position)
        if match is None:
            raise self._error()
        self._position = match.end()
        if match[1] is None:
            return match[0]
        return f'"""{_ESCAPE.sub(_keep_backslash, match[1])}"""'

    def _short_string(self) -> str:
        match = _SHORT.match(self._text, self._position)
        if match is None:
            raise self._error()
        self._position = match.end()
        content = match[1] if match[1] is not None else match[2]
        if match[1] is None and "\n" not in content and "\\" not in content:
            return match[0]
        escaped = _ESCAPE.sub(_toml_escape, content)
        if "\n" not in content:
            return f'"{escaped}"'
        # TOML removes a line break behind the opening quotes, so white space at the start is
        # escaped. The backslash and the line breaks behind it are not part of the value: TOML
        # removes them, and they keep the number of lines.
        rest = escaped.lstrip(_WHITE_SPACE)
        start = escaped[: len(escaped) - len(rest)]
        if "\n" not in start:
            return f'"""{escaped}"""'
        written = "".join(f"\\u{ord(character):04x}" for character in start)
        return f'"""{written}\\{_newlines(start)}{rest}"""'

    def _error(self) -> DialectError:
        return DialectError(self._text.count("\n", 0, self._position) + 1)

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise self._error()
        self._position = match.end()
        return match[0]

    def _expect(self, token: str) -> None:
        if not self._text.startswith(token, self._position):
            raise self._error()
        self._position += len(token)


def _newlines(text: str) -> str:
    return "\n" * text.count("\n")


def _first_part(key: str) -> str:
    return re.split(r"[.=\s]", key.strip(), maxsplit=1)[0].strip('"')


def _toml_key(key: str) -> str:
    """Quote the parts of a dotted key that TOML accepts only in quotes."""
    return _KEY_PART.sub(lambda part: _quote_part(part[0]), key.strip())


def _quote_part(part: str) -> str:
    if part.startswith('"') or _TOML_KEY_PART.fullmatch(part):
        return part
    return '"' + part.strip().replace("\\", "\\\\") + '"'


def _as_key(member: str) -> str:
    return member if member.startswith('"') else f'"{member}"'


def _toml_escape(match: re.Match[str]) -> str:
    """Keep the escapes of TOML, remove the backslash of all others, and escape quotes."""
    if match[0] == '"':
        return r"\""
    return match[0] if match[1] in _TOML_ESCAPES or len(match[1]) > 1 else match[1]


def _keep_backslash(match: re.Match[str]) -> str:
    """Double a backslash that TOML would reject: Stalwart's long strings have no escapes."""
    if match[0] == '"' or match[1] in _TOML_ESCAPES or len(match[1]) > 1:
        return match[0]
    return "\\" + match[0]
