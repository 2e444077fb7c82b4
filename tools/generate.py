"""``make generate``: write the stub and the tables of ``docs/wire.md`` from the table of events.

With ``--check``, write nothing, and fail if a file would change. A test runs the same check.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "src/fastcoord/wire/events.pyi"
PAGE = ROOT / "docs/wire.md"

sys.path.insert(0, str(ROOT / "src"))

from fastcoord.wire.table import (  # noqa: E402
    CACHE_ITEMS,
    KINDS,
    PROTOCOLS,
    REQUIRED,
    TAGS,
    Field,
    Kind,
)

STUB_HEAD = '''\
"""Generated from ``table.py`` by ``make generate``."""

from collections.abc import Iterable
from typing import ClassVar, final

from typing_extensions import Self

EVENT_TYPES: tuple[type[Event] | None, ...]

_CacheItem = tuple[str, int] | tuple[str, int, int]

class Event:
    """The base class of all events, which nodes send to each other.

    Events are immutable, hashable, comparable and picklable, take their fields by position or by
    keyword, and work with ``match``. Only its subclasses have instances.
    """

    __match_args__: ClassVar[tuple[str, ...]]
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
'''

ARGUMENT_TYPES = {
    "i64 or none": "int | None",
    "bool": "bool",
    "str": "str",
    "bytes": "bytes | bytearray | memoryview",
    "list of u32": "Iterable[int]",
    "list of cache items": "Iterable[_CacheItem | list[str | int]]",
}
FIELD_TYPES = {
    **ARGUMENT_TYPES,
    "bytes": "bytes",
    "list of u32": "tuple[int, ...]",
    "list of cache items": "tuple[_CacheItem, ...]",
}
WIRE_FORMS = {
    "i64 or none": "{} i64 (0: none)",
    "str": "{} text",
    "bytes": "length and bytes of {}",
    "list of u32": "count of {}, u32 each",
    "list of cache items": (
        "count of {}, then each item: marker, id u32, and for EmailNegative a second u32"
    ),
}


def stub() -> str:
    """Return the text of ``events.pyi``."""
    names = sorted(["Event", *(kind.name for kind in KINDS)])
    listed = "".join(f'    "{name}",\n' for name in names)
    classes = "\n".join(stub_class(kind) for kind in KINDS)
    return f"{STUB_HEAD}\n{classes}\n__all__ = [\n{listed}]\n"


def stub_class(kind: Kind) -> str:
    """Return the stub of one class."""
    arguments = [
        f"{field.name}: {ARGUMENT_TYPES.get(field.type, 'int')}"
        + ("" if field.default is REQUIRED else f" = {field.default!r}".replace("'", '"'))
        for field in kind.fields
    ]
    signature = f"    def __new__({', '.join(['cls', *arguments])}) -> Self: ...\n"
    if len(signature) > 100:
        lines = "".join(f"        {each},\n" for each in ["cls", *arguments])
        signature = f"    def __new__(\n{lines}    ) -> Self: ...\n"
    properties = "".join(
        f"    @property\n    def {field.name}(self) -> {FIELD_TYPES.get(field.type, 'int')}: ...\n"
        for field in kind.fields
    )
    return f"@final\nclass {kind.name}(Event):\n{stub_docstring(kind)}{signature}{properties}"


def stub_docstring(kind: Kind) -> str:
    """Return the docstring of a class for the stub."""
    if not kind.fields:
        return f'    """{kind.meaning}"""\n\n'
    lines = [f'    """{kind.meaning}', ""]
    for field in kind.fields:
        text = f":param {field.name}: {field.meaning}"
        lines += textwrap.wrap(text, 100, initial_indent=" " * 4, subsequent_indent=" " * 8)
    return "\n".join([*lines, '    """', "", ""])


def where_table() -> Iterator[str]:
    """Yield the rows that show which kind exists in which protocol."""
    yield f"| event | {' | '.join(f'`{name}`' for name in PROTOCOLS)} |"
    yield "| --- |" + " --- |" * len(PROTOCOLS)
    for kind in KINDS:
        cells = ["yes" if kind.name in TAGS[name] else "" for name in PROTOCOLS]
        yield f"| {kind.name} | {' | '.join(cells)} |"


def tag_table() -> Iterator[str]:
    """Yield the rows of the tags of ``fastcoord-1``, which has all kinds."""
    kinds = {kind.name: kind for kind in KINDS}
    tags = TAGS["fastcoord-1"]
    yield "| tag | event | fields, in wire order |"
    yield "| --- | --- | --- |"
    for tag, name in enumerate(tags):
        fields = ", ".join(
            wire_form(field, tag == tags.index(name)) for field in kinds[name].wire_fields
        )
        yield f"| {tag} | {name} | {fields}{' ' if fields else ''}|"


def wire_form(field: Field, is_first_tag: bool) -> str:
    """Return the form of a field on the wire."""
    if field.type == "bool":
        return f"{field.name} is {'true' if is_first_tag else 'false'}"
    return WIRE_FORMS.get(field.type, f"{{}} {field.type}").format(field.name)


def item_table() -> Iterator[str]:
    """Yield the rows of the markers."""
    yield "| marker | item |"
    yield "| --- | --- |"
    for marker, name in enumerate(CACHE_ITEMS):
        yield f"| {marker} | {name} |"


def page(text: str) -> str:
    """Return the text of ``docs/wire.md`` with its three tables generated again."""
    for name, rows in (
        ("kinds", where_table()),
        ("tags", tag_table()),
        ("items", item_table()),
    ):
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{PAGE} has no pair of markers {begin.strip()} and {end.strip()}")
        table = "".join(f"{row}\n" for row in rows)
        text = f"{before}{begin}{table}{end}{after}"
    return text


def generated() -> dict[Path, str]:
    """Return the text of each generated file by its path."""
    return {STUB: stub(), PAGE: page(PAGE.read_text("utf-8"))}


def main() -> int:
    """Write the files or, with ``--check``, only compare them."""
    stale = {
        path: text for path, text in generated().items()
        if not path.exists() or path.read_text("utf-8") != text
    }  # fmt: skip
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} differs from the table of events: run make generate")
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
