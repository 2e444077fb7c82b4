"""Everything that takes part in a contest of the user's loop."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import native, processes
from benchmarks.user_loop import Contender

PYTHON = {
    "one_call": "fastcoord_nodes.OneCall",
    "keywords": "fastcoord_nodes.KeywordsAndMatch",
    "lists": "fastcoord_nodes.Lists",
    "nats_py_single": "nats_py.Single",
    "nats_py_batched": "nats_py.Batched",
}


@dataclass(frozen=True)
class Program:
    """A contender that is a program of its own.

    :ivar limit: the most events in a message.
    """

    name: str
    events: int
    limit: int = 1


PROGRAMS = {
    "rust_batched": Program("Rust pipeline, batches of at most 100", 4_000_000, 100),
    "rust_single": Program("Rust pipeline, one event a message", 400_000, 1),
    "libnats": Program("libnats (C), one event a message, structs", 1_000_000),
}


@functools.cache
def contender(key: str) -> Contender:
    """Return a contender in Python.

    :raises ImportError: its library is not installed.
    """
    module, name = PYTHON[key].split(".")
    made: Contender = getattr(importlib.import_module(f"benchmarks.user_loop.{module}"), name)()
    return made


def described(key: str) -> Contender | Program:
    """Return what has the contender's name and number of events."""
    return PROGRAMS[key] if key in PROGRAMS else contender(key)


@functools.cache
def rust() -> Path:
    """Return the Rust pipeline, built by cargo.

    :raises native.Unavailable: there is no cargo, or it cannot build.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise native.Unavailable("there is no cargo")
    source = processes.HERE / "peers" / "rust"
    target = native.BUILT / "rust"
    done = subprocess.run(
        [cargo, "build", "--release", "--quiet"],
        cwd=source,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["cargo failed"]
        raise native.Unavailable(f"the Rust pipeline: {last[0]}")
    return target / "release" / "rust-pipeline"


def unavailable(key: str) -> str | None:
    """Return why a contender cannot take part here; ``None`` if it can."""
    try:
        if key in PROGRAMS:
            (processes.libnats if key == "libnats" else rust)()
        else:
            contender(key)
    except (native.Unavailable, ImportError) as error:
        return str(error)
    return None


def command(job: dict[str, Any]) -> list[str]:
    """Return the command of one process."""
    key, wire = job["peer"], job["wire"]
    if key not in PROGRAMS:
        return [sys.executable, "-m", "benchmarks.user_loop.worker", json.dumps(job)]
    if key == "libnats":
        role = {"produce": "produce", "read": "read"}[job["role"]]
        places = (wire["url"], wire["subject"], wire["kind"], job["count"], job["count"], 0, "-")
        return [str(processes.libnats()), role, *map(str, places), str(job["patience"])]
    places = (wire["url"], wire["subject"], wire["kind"], job["count"], PROGRAMS[key].limit)
    return [str(rust()), job["role"], *map(str, places), str(job["patience"])]
