"""Where each key of a JSON document stands, and which stand twice."""

from __future__ import annotations

import bisect
import json
import re

from fastcoord.config._toml_lines import Path

__all__ = ["json_lines", "repeated_keys"]

_TOKEN = re.compile(r'[ \t\r\n]*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+)')


def json_lines(text: str) -> dict[Path, int]:
    """Map each key and array element of a JSON document to its line, counted from 1.

    :param text: a document that Python's ``json`` reads without error.
    :return: the lines; of a key that stands twice, the last.
    """
    return {path: line for path, line, _ in _walk(text)}


def repeated_keys(text: str) -> list[tuple[Path, int]]:
    """Find the keys that stand twice in one object, each with the line of its repetition."""
    seen: set[Path] = set()
    repeated: list[tuple[Path, int]] = []
    for path, line, is_key in _walk(text):
        if path in seen and is_key:
            repeated.append((path, line))
        seen.add(path)
    return repeated


def _walk(text: str) -> list[tuple[Path, int, bool]]:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found: list[tuple[Path, int, bool]] = []
    open_at: list[tuple[Path, str]] = []  # each open object or array, with its bracket
    path: Path = ()  # of the value that comes next
    counts: list[int] = []
    key: str | None = None
    for match in _TOKEN.finditer(text):
        token = match[1]
        line = bisect.bisect_right(starts, match.start(1))
        in_object = bool(open_at) and open_at[-1][1] == "{"
        if token in "]}":
            open_at.pop()
            counts.pop()
            key = None
            continue
        if token == ",":
            key = None
            continue
        if token == ":":
            continue
        if in_object and key is None:
            key = json.loads(token)
            found.append(((*open_at[-1][0], key or ""), line, True))
            continue
        if open_at:
            last: str | int = (key or "") if in_object else counts[-1]
            path = (*open_at[-1][0], last)
            if not in_object:
                counts[-1] += 1
                found.append((path, line, False))
        if token in "[{":
            open_at.append((path, token))
            counts.append(0)
            key = None
    return found
