"""Find the line of each key of a JSON document, and the keys that are repeated."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator

from fastcoord.config._toml_lines import DEEPEST, Path

__all__ = ["json_lines", "repeated_keys"]

_TOKEN = re.compile(r'[ \t\r\n]*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+)')


def json_lines(text: str) -> dict[Path, int]:
    """Map each key and array element of a JSON document to its line, counted from 1.

    :param text: a document that Python's ``json`` reads without error.
    :return: the line of each path; if a key is repeated, the line of its last occurrence.
    """
    return {path: line for path, line, _ in _walk(text)}


def repeated_keys(text: str) -> list[tuple[Path, int]]:
    """Find the keys that occur twice in one object, each with the line of its repetition."""
    seen: set[Path] = set()
    repeated: list[tuple[Path, int]] = []
    for path, line, is_key in _walk(text):
        if path in seen and is_key:
            repeated.append((path, line))
        seen.add(path)
    return repeated


class _Open:
    """An object or array that is not closed yet."""

    def __init__(self, path: Path, bracket: str) -> None:
        self.path = path
        self.is_object = bracket == "{"
        self.key: str | None = None  # the key of the next value
        self.index = 0


def _walk(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Yield each key and array element with its line, and whether it is a key."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    containers: list[_Open] = []
    for match in _TOKEN.finditer(text):
        token = match[1]
        path: Path = ()
        if token in "]}":
            containers.pop()
            continue
        if token in ":,":
            if token == "," and containers[-1].is_object:
                containers[-1].key = None
            continue
        if containers:
            container = containers[-1]
            expects_key = container.is_object and container.key is None
            if expects_key:
                container.key = json.loads(token)
            # No path is longer than DEEPEST. A value that is nested deeper is not yielded, and
            # gets the path of its ancestor at that depth.
            path = container.path
            if len(path) < DEEPEST:
                path = (*path, container.index if container.key is None else container.key)
                if expects_key or not container.is_object:
                    yield path, bisect.bisect_right(starts, match.start(1)), expects_key
            if expects_key:
                continue
            container.index += 1
        if token in "[{":
            containers.append(_Open(path, token))
