"""The table of events, and what must agree with it."""

import importlib.util
import inspect
import json
import pickle
import pydoc
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastcoord
from fastcoord.wire import table
from fastcoord.wire.events import EVENT_TYPES
from support.inputs.samples import every_kind
from support.oracles import reference

ROOT = Path(__file__).parents[2]
KIND_NAMES = tuple(kind.name for kind in table.KINDS)
SAMPLES = every_kind(KIND_NAMES)
FULL_TABLE = """
import json, sys, types
package = sys.modules["fastcoord"] = types.ModuleType("fastcoord")
package.__path__ = json.load(sys.stdin)
from fastcoord.wire import table
types = table.FIELD_TYPES[:8]
fields = tuple(table.Field(f"field_{index}", type, "u.") for index, type in enumerate(types))
more = tuple(
    table.Kind(f"Kind{number}", "A kind.", fields if number == {count} else ())
    for number in range(len(table.KINDS) + 1, {count} + 1)
)
table.KINDS += more
names = []
for kind in table.KINDS:
    names += [kind.name] * (2 if any(field.type == "bool" for field in kind.fields) else 1)
table.TAGS = {"fastcoord-1": tuple(names)}
table.check_table()
from fastcoord import _codec
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.ring import Ring
from fastcoord.wire import events
last, before = events.EVENT_TYPES[-1], events.EVENT_TYPES[-2]
made = [last(1, 1 << 31, 1 << 63, -1, False, "text", b"bytes", [1, 300]), before()]
payload = _codec.encode_batch(made, node_id=1, protocol="fastcoord-1")
assert list(_codec.decode_batch(payload, protocol="fastcoord-1")) == made
print(last.__name__)
"""


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_with_kinds(count: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", FULL_TABLE.replace("{count}", str(count))],
        input=json.dumps(list(fastcoord.__path__)),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_generated_files_are_fresh() -> None:
    stale = [
        str(path) for path, text in generator().generated().items() if path.read_text() != text
    ]
    assert stale == [], "run make generate"


def test_reference_agrees_with_table() -> None:
    kinds = {kind.name: kind for kind in table.KINDS}
    described = {
        protocol: {
            tag: (name, {field.name: field.type for field in kinds[name].wire_fields})
            for tag, name in enumerate(tags)
        }
        for protocol, tags in table.TAGS.items()
    }
    expected = {
        protocol: {
            tag: (layout.type, {**layout.fields, **dict.fromkeys(layout.constants, "bool")})
            for tag, layout in layouts.items()
        }
        for protocol, layouts in reference.PROTOCOLS.items()
    }
    assert described == expected
    assert table.CACHE_ITEMS == reference.CACHE_MARKERS


def test_protocols_are_defined_once() -> None:
    from fastcoord.config import PROTOCOLS

    assert PROTOCOLS is table.PROTOCOLS


def test_most_kinds_work() -> None:
    done = run_with_kinds(table.MAX_KINDS)
    assert done.stdout.strip() == f"Kind{table.MAX_KINDS}", done.stderr


def test_too_many_kinds_are_refused() -> None:
    done = run_with_kinds(table.MAX_KINDS + 1)
    assert "ImportError: the table of events has 64 kinds" in done.stderr


FIELD = table.Field("one", "u16", "u16.")


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (table.Kind("StateChange", "Twice."), "two kinds of one name"),
        (table.Kind("New", "Unknown type.", (FIELD._replace(type="u8"),)), "of the types"),
        (table.Kind("New", "Too many.", (FIELD,) * 9), "at most 8 fields"),
        (table.Kind("New", "Order.", (FIELD,), wire_order=("two",)), "each field once"),
    ],
)
def test_wrong_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: table.Kind, complaint: str
) -> None:
    monkeypatch.setattr(table, "KINDS", (*table.KINDS, kind))
    with pytest.raises(ImportError, match=complaint):
        table.check_table()


@pytest.mark.parametrize(
    ("tags", "complaint"),
    [
        (("Unheard",), "all of kinds of the table"),
        (("MtaQueueStatus", "StateChange", "MtaQueueStatus"), "2 adjacent tags"),
        (("StateChange", "StateChange"), "1 adjacent tags"),
    ],
)
def test_wrong_tags_are_refused(
    monkeypatch: pytest.MonkeyPatch, tags: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.setattr(table, "TAGS", {"new-1": tags})
    with pytest.raises(ImportError, match=complaint):
        table.check_table()


@pytest.mark.parametrize(
    "kind",
    [*EVENT_TYPES[1:], fastcoord.Event, fastcoord.Batch, fastcoord.Missed, fastcoord.DataType],
    ids=lambda kind: kind.__name__,
)
def test_class_reports_public_module(kind: Any) -> None:
    assert kind.__module__ == "fastcoord"
    assert pickle.loads(pickle.dumps(kind)) is kind


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_event_shows_only_its_fields(event: fastcoord.Event) -> None:
    shown = {name for name in dir(event) if not name.startswith("_")}
    assert shown == set(type(event).__match_args__)
    internal = ("pyx", "cython", "vtable")
    assert not [name for name in dir(event) if any(word in name for word in internal)]


def test_batch_shows_only_its_api() -> None:
    shown = {name for name in dir(fastcoord.Batch) if not name.startswith("_")}
    assert shown == {"columns", "count", "index", "node_id", "received_at", "sequence"}


@pytest.mark.parametrize("kind", table.KINDS, ids=lambda kind: kind.name)
def test_signature_shows_arguments(kind: table.Kind) -> None:
    cls = getattr(fastcoord, kind.name)
    parameters = inspect.signature(cls).parameters
    assert list(parameters) == list(cls.__match_args__) == [field.name for field in kind.fields]
    for field in kind.fields:
        required = parameters[field.name].default is inspect.Parameter.empty
        assert required == (field.default is table.REQUIRED)
    page = pydoc.plain(pydoc.render_doc(cls))
    if kind.fields:
        assert f"{kind.name}({', '.join(map(str, parameters.values()))})" in page
    assert kind.meaning in page
    assert all(f":param {field.name}: " in page for field in kind.fields)
