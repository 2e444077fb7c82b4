"""Macros in strings: ``%{env:NAME}%``, ``%{file:PATH}%``, and ``%{cfg:KEY}%`` in TOML."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

__all__ = ["Part", "expand", "setting_of", "split_macros"]

LARGEST_FILE = 1024 * 1024
_MACRO = re.compile(r"%\{([^{}]*)\}%")
_UNFINISHED = re.compile(r"%\{(?:env|file|cfg):")
MAX_DEPTH = 8
"""How many references may follow each other."""


class Part(NamedTuple):
    """A part of a string: plain text, or the source of its content."""

    kind: Literal["text", "env", "file"]
    content: str
    """The text itself, the variable's name, or the file's absolute path."""


def split_macros(
    text: str, folder: str, setting: Callable[[str], str] | None = None, depth: int = 0
) -> tuple[Part, ...]:
    """Split a string into text and macros. ``%{cfg:KEY}%`` becomes the parts of that setting.

    :param text: the string in the configuration.
    :param folder: the folder that a relative ``%{file:PATH}%`` is relative to.
    :param setting: returns the text of another setting of the file; ``None`` if there is no file.
    :param depth: how many references have led to this text.
    :return: the parts, in order; never empty.
    :raises ValueError: a macro is unknown, has no name, or is not closed, or a setting is missing.
    """
    known = "%{env:NAME}%, %{file:PATH}% and %{cfg:KEY}%"
    if setting is None:
        known = "%{env:NAME}% and %{file:PATH}%"
    parts: list[Part] = []
    end = 0
    for match in _MACRO.finditer(text):
        _append_text(parts, text[end : match.start()])
        end = match.end()
        kind, colon, argument = match[1].partition(":")
        if not colon or kind not in ("env", "file", "cfg") or (kind == "cfg" and setting is None):
            raise ValueError(f"there are only the macros {known}")
        if not argument:
            raise ValueError(f"the macro %{{{kind}:}}% names nothing")
        if kind == "env":
            parts.append(Part("env", argument))
        elif kind == "cfg" and setting is not None:
            if depth == MAX_DEPTH:
                raise ValueError(f"{match[0]} refers to itself, or over too many other settings")
            parts += split_macros(setting(argument), folder, setting, depth + 1)
        else:
            # Stalwart accepts file://PATH as well.
            parts.append(Part("file", os.path.join(folder, argument.removeprefix("//"))))
    _append_text(parts, text[end:])
    return tuple(parts) or (Part("text", ""),)


def setting_of(root: Mapping[str, object], key: str) -> str:
    """Return the text of a setting, for ``%{cfg:KEY}%``.

    :param root: the tables of the file.
    :param key: the names of the tables and of the setting, joined with dots and without quotes. The
        name of an item of a list is its index, which may have leading zeros, as in ``0001``.
    :raises ValueError: there is no such setting, or it is a table or a list. The message does not
        show any value.
    """
    found = _find(root, key)
    if found is None:
        raise ValueError(f"there is no setting {key!a} in this file")
    if isinstance(found, dict | list):
        raise ValueError(f"{key!a} is a table or a list, and a macro needs one value")
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found)


def _find(value: object, key: str) -> object | None:
    if isinstance(value, list):
        name, dot, rest = key.partition(".")
        key = f"{int(name)}{dot}{rest}" if name.isdecimal() else key
        value = {str(index): each for index, each in enumerate(value)}
    if not isinstance(value, dict):
        return None
    found: object | None = value.get(key)
    if found is not None:
        return found
    for name, inner in value.items():
        # A name may have dots itself.
        if found is None and key.startswith(f"{name}."):
            found = _find(inner, key[len(name) + 1 :])
    return found


def _append_text(parts: list[Part], text: str) -> None:
    if unfinished := _UNFINISHED.search(text):
        kind = unfinished[0]
        raise ValueError(f"a macro begins with {kind} and does not end with }}%")
    if text:
        parts.append(Part("text", text))


def expand(parts: tuple[Part, ...]) -> str:
    """Read the variables and files, and join all parts.

    :param parts: the result of :func:`split_macros`.
    :return: the string; one newline at the end of a file is removed.
    :raises ValueError: a variable is not set or a file cannot be read; the message names it and
        shows no content.
    """
    return "".join(_content(part) for part in parts)


def _content(part: Part) -> str:
    if part.kind == "text":
        return part.content
    return _variable(part.content) if part.kind == "env" else _file(part.content)


def _variable(name: str) -> str:
    try:
        value = os.environ.get(name)
        if value is not None:
            value.encode()
    except UnicodeError:
        raise ValueError(f"the environment variable {name!a} is not UTF-8") from None
    if value is None:
        raise ValueError(f"the environment variable {name!a} is not set")
    return value


def _file(path: str) -> str:
    try:
        os.fsencode(path)
    except UnicodeError:
        raise ValueError(f"{path!a} is not the name of a file") from None
    if "\0" in path:
        raise ValueError(f"{path!a} is not the name of a file")
    try:
        # Other files are refused: reading a pipe or a device could block forever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError(f"{path!a} is not a regular file")
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"the file {path!a} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise ValueError(f"the file {path!a} is larger than {LARGEST_FILE} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"the file {path!a} is not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
