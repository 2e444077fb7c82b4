"""The line numbers of keys, checked on documents with known lines."""

import json
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from fastcoord.config._json_lines import json_lines, repeated_keys
from fastcoord.config._toml_lines import DEEPEST, Path, toml_lines


def paths_of(value: Any, path: Path = ()) -> set[Path]:
    """Return the path of every key and array element within a value that has a line number."""
    members: Any = ()
    if len(path) == DEEPEST:
        return set()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    found: set[Path] = set()
    for key, member in members:
        found |= {(*path, key)} | paths_of(member, (*path, key))
    return found


TRICKY = '''\
# a = 1 is no key
top = 1
"quoted key" = "a # no comment" # a comment
'literal.key' . bare . "esc\\u0061ped" = 2

many = """
[fake]
fake = 1 \\""" still
"""
after = 1
literal = \'\'\'
[fake2]
quotes \'\' inside\'\'\'\'\'
quotes = """a"""""
empty = ""
array = [ # a comment with ]
  1, [2, "]"],

  { a = 1, b.c = [3] }, # and another
]
date = 1979-05-27 07:32:00
inline = { x = "}", y = { z = \'#\' } }
[table."with.dot"]
key = 1
[table . "with.dot" . sub]
key = 1
[[list]]
a = 1
[list.sub]
b = 2
[[list]]

a = 3
[[list.nested]]
c = 4
'''


def test_every_key_form_has_line() -> None:
    lines = toml_lines(TRICKY)
    assert set(lines) == paths_of(tomli.loads(TRICKY))
    assert {path: line for path, line in lines.items() if len(path) <= 2} == {
        ("top",): 2,
        ("quoted key",): 3,
        ("literal.key",): 4,
        ("literal.key", "bare"): 4,
        ("many",): 6,
        ("after",): 10,
        ("literal",): 11,
        ("quotes",): 14,
        ("empty",): 15,
        ("array",): 16,
        ("array", 0): 17,
        ("array", 1): 17,
        ("array", 2): 19,
        ("date",): 21,
        ("inline",): 22,
        ("inline", "x"): 22,
        ("inline", "y"): 22,
        ("table",): 23,
        ("table", "with.dot"): 23,
        ("list",): 27,
        ("list", 0): 27,
        ("list", 1): 31,
    }
    assert lines["table", "with.dot", "sub", "key"] == 26
    assert lines["list", 0, "sub", "b"] == 30
    assert lines["list", 1, "a"] == 33
    assert lines["list", 1, "nested", 0, "c"] == 35


def test_windows_line_end_counts_once() -> None:
    assert toml_lines("a = 1\r\n\r\nb = [\r\n1\r\n]\r\n") == {
        ("a",): 1,
        ("b",): 3,
        ("b", 0): 4,
    }


@pytest.mark.parametrize(
    "text", ["= 1", "a 1", "[a", '"\\1" = 1', '"a = 1', "a = [1 2]", "a = " + "[" * 9999]
)
def test_invalid_toml_does_not_fail(text: str) -> None:
    assert all(line == 1 for line in toml_lines(text).values())


@given(st.text(alphabet="ab=[]{}.,\"'# \n\\1", max_size=60))
def test_any_text_is_scanned(text: str) -> None:
    lines = toml_lines(text)
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    assert set(lines) == paths_of(document)


KEYS = st.one_of(
    st.sampled_from(["a", "b", "address", "no-echo", "1", "-", "_x"]),
    st.text(
        alphabet=st.one_of(
            st.sampled_from("\"'\\#=[]{}., \t\n"), st.characters(exclude_categories=["Cs"])
        ),
        max_size=6,
    ),
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(alphabet=st.sampled_from("\"'\\#=[]{}., \t\nab"), max_size=10),
    st.datetimes(),
    st.times(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


class Writer:
    """Writes TOML in many forms and records line numbers."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {}

    def note(self, path: Path) -> None:
        if len(path) <= DEEPEST:
            self.lines.setdefault(path, self.text.count("\n") + 1)

    def choose(self, *options: str) -> str:
        return self.draw(st.sampled_from(options))

    def key(self, key: str) -> None:
        ways = [self.basic(key)]
        if key and key.isascii() and key.replace("-", "a").replace("_", "a").isalnum():
            ways.append(key)
        if key.isprintable() and "'" not in key:
            ways.append(f"'{key}'")
        self.text += self.choose(*ways)

    def basic(self, text: str) -> str:
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

    def string(self, text: str) -> str:
        ways = [self.basic(text)]
        if "'" not in text and "\n" not in text:
            ways.append(f"'{text}'")
        if "''" not in text and not text.endswith("'"):
            ways.append(f"'''\n{text}'''")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        ways += (
            [f'"""{escaped}"""', f'"""\\\n  \n{escaped}"""'] if escaped == escaped.strip() else []
        )
        return self.choose(*ways)

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, dict):
            self.text += "{" + self.choose("", " ")
            for index, (key, member) in enumerate(value.items()):
                self.text += ", " if index else ""
                self.pair(path, key, member)
            self.text += self.choose("", " ") + "}"
        elif isinstance(value, list):
            blank = ("", " ", "\n", " # ] = comment\n\n")
            self.text += "[" + self.choose(*blank)
            for index, member in enumerate(value):
                self.note((*path, index))
                self.value(member, (*path, index))
                last = index == len(value) - 1
                self.text += self.choose(*blank) + ("" if last else ",") + self.choose(*blank)
            self.text += "]"
        elif isinstance(value, str):
            self.text += self.string(value)
        elif isinstance(value, bool):
            self.text += "true" if value else "false"
        else:
            self.text += str(value)

    def pair(self, path: Path, key: str, value: Any) -> None:
        self.note((*path, key))
        self.key(key)
        while isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
            ((inner, value),) = value.items()
            path, key = (*path, key), inner
            self.text += self.choose(".", " . ")
            self.note((*path, key))
            self.key(key)
        self.text += self.choose("=", " = ")
        self.value(value, (*path, key))

    def header(self, path: Path, brackets: str) -> None:
        self.text += self.choose("", "\n", "# [comment]\n\n") + brackets[0]
        written = [part for part in path if isinstance(part, str)]
        for index in range(len(path)):
            self.note(path[: index + 1])
        for index, part in enumerate(written):
            self.text += self.choose(".", " . ") if index else ""
            self.key(part)
        self.text += brackets[1] + self.choose("\n", " # comment\n")

    def table(self, table: dict[str, Any], path: Path) -> None:
        later: list[str] = []
        for key, value in table.items():
            nested = isinstance(value, dict) or (
                isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
            )
            if nested and self.draw(st.booleans()):
                later.append(key)
                continue
            self.pair(path, key, value)
            self.text += self.choose("\n", " # comment\n", "\n\n  ")
        for key in later:
            value = table[key]
            for index, each in enumerate(value if isinstance(value, list) else [None]):
                if each is None:
                    self.header((*path, key), "[]")
                    self.table(value, (*path, key))
                else:
                    self.header((*path, key, index), ["[[", "]]"])  # type: ignore[arg-type]
                    self.table(each, (*path, key, index))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int], dict[str, Any]]:
    document = draw(st.dictionaries(KEYS, VALUES, max_size=5))
    writer = Writer(draw)
    writer.table(document, ())
    return writer.text, writer.lines, document


@given(documents())
def test_every_toml_key_has_line(
    case: tuple[str, dict[Path, int], dict[str, Any]],
) -> None:
    text, lines, document = case
    assert paths_of(tomli.loads(text)) == paths_of(document)
    assert toml_lines(text) == lines


TEXTS = st.text(max_size=8)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, JSON_VALUES, max_size=5), st.sampled_from([None, 0, 2]))
def test_every_json_key_is_found(document: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(document, indent=indent)
    lines = json_lines(text)
    assert set(lines) == paths_of(document)
    assert repeated_keys(text) == []
    if indent is None:
        assert set(lines.values()) <= {1}
    else:
        # Each line of indented JSON has one key, one element or one closing bracket.
        assert len(set(lines.values())) == len(lines)


def test_deep_nesting_costs_linear_time() -> None:
    depth = 100_000
    assert set(json_lines('{"a": ' + "[" * depth + "]" * depth + "}")) == {
        ("a", *([0] * index)) for index in range(DEEPEST)
    }
    assert len(toml_lines(".".join(["a"] * 900) + " = 1\n")) == DEEPEST


def test_json_keys_have_lines() -> None:
    text = '{\n "a": [1,\n {"b": "}"}],\n "c":\n {},\n "a": 2, "\\u0064": [[], [5\n]]}'
    assert json_lines(text) == {
        ("a",): 6,
        ("a", 0): 2,
        ("a", 1): 3,
        ("a", 1, "b"): 3,
        ("c",): 4,
        ("d",): 6,
        ("d", 0): 6,
        ("d", 1): 6,
        ("d", 1, 0): 6,
    }
    assert repeated_keys(text) == [(("a",), 6)]
