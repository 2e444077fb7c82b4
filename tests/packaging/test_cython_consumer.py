"""Another Cython package compiles against fastcoord and reads events from their memory."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

import fastcoord
from fastcoord import ReloadSettings, StateChange
from support.once import filled_once

EXAMPLE = Path(__file__).parents[2] / "examples" / "cython_consumer"
PROTOCOL = "fastcoord-1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, compiled in place."""
    return filled_once(tmp_path_factory, "consumer", compile_example) / "example"


def compile_example(folder: Path) -> None:
    copy = folder / "example"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.c", "*.so", "build"))
    with (copy / "changes.pyx").open("a") as source:
        source.write("\n\ndef slot(kind, name):\n    return slot_of_field(kind, name)\n")
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=copy,
        env={**os.environ, "CFLAGS": "-O1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def changes(folder: Path) -> Any:
    (path,) = folder.glob("changes.*.so")
    spec = importlib.util.spec_from_file_location("changes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_instructions_install_requirements() -> None:
    project = tomli.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))
    instructions = (EXAMPLE / "README.md").read_text("utf-8")
    command = re.search(r"^pip install (?!-)(.*)$", instructions, re.MULTILINE)
    assert command is not None
    # Older versions of setuptools cannot build the example.
    (setuptools,) = (
        each for each in project["build-system"]["requires"] if each.startswith("setuptools")
    )
    assert setuptools in shlex.split(command[1])


def test_consumer_reads_numbers(changes: Any) -> None:
    events = [StateChange(1, 2**64 - 1, 1), ReloadSettings(), StateChange(2, 7, 1)]
    consumer = changes.Changes(PROTOCOL)
    consumer.read(fastcoord.encode_batch(events, node_id=1, protocol=PROTOCOL))
    assert (consumer.events, consumer.newest) == (3, 2**64 - 1)


def test_consumer_encodes_events(changes: Any) -> None:
    events = [StateChange(1, 2, 3), ReloadSettings()]
    payload = fastcoord.encode_batch(events, node_id=1, protocol=PROTOCOL)
    assert changes.Changes(PROTOCOL).echo(payload, 9) == fastcoord.encode_batch(
        events, node_id=9, protocol=PROTOCOL
    )


def test_consumer_gets_decode_errors(changes: Any) -> None:
    with pytest.raises(fastcoord.DecodeError):
        changes.Changes(PROTOCOL).read(b"\x01\xff")


def test_consumer_refuses_unknown_protocol(changes: Any) -> None:
    with pytest.raises(ValueError, match="there is no protocol 'fastcoord-9'"):
        changes.Changes("fastcoord-9")


@pytest.mark.parametrize("wrong", [int, None, fastcoord.Event, StateChange(1, 2, 3)])
def test_consumer_refuses_other_class(changes: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="not an event class"):
        changes.slot(wrong, "change_id")


def test_consumer_refuses_other_fields(changes: Any) -> None:
    assert changes.slot(StateChange, "change_id") == 0
    with pytest.raises(AttributeError, match="has no field 'payload'"):
        changes.slot(StateChange, "payload")
    with pytest.raises(TypeError, match="payload is not a number"):
        changes.slot(fastcoord.AppEvent, "payload")


def test_uninitialised_consumer_does_not_crash(changes: Any) -> None:
    with pytest.raises(TypeError, match="not None"):
        changes.Changes.__new__(changes.Changes).read(b"\x01")


def test_example_measures_both(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "measure.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.fullmatch(
        r"Cython (\d+) ns, Python (\d+) ns an event: .* times faster\n", done.stdout
    )
    assert found, done.stdout


def test_include_folder_has_the_headers() -> None:
    assert Path(fastcoord.get_include(), "fastcoord", "wire", "primitives.h").is_file()
