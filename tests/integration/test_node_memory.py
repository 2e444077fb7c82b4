"""Memory stays flat, and a process that used nodes leaves no task, socket or child."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.scale import repeats

SUPPORT = Path(__file__).parent.parent / "support" / "processes"
MOST_GROWTH = 8 * 1024 * 1024
"""Bytes: an eighth of a subscription's bound. Leaking 16 bytes per event is several times more."""


def run(*words: str) -> tuple[dict[str, Any], str]:
    """Run a script in a process of its own; return its result and what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("how", "events"),
    [
        ("batches", repeats(3_000_000, long=10_000_000)),
        ("events", repeats(2_000_000, long=5_000_000)),
    ],
)
def test_memory_stays_flat(
    shared_server: LocalServer, cluster: dict[str, Any], tmp_path: Path, how: str, events: int
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(shared_server, cluster=cluster), encoding="utf-8")
    seen, errors = run(str(SUPPORT / "steady_memory.py"), str(config), str(events), how)
    assert errors == ""
    assert (seen["received"], seen["delivered"], seen["missed"]) == (events, events, {})
    assert seen["at_the_end"] - seen["after_a_fifth"] < MOST_GROWTH, seen


def test_process_ends_without_leftovers(tmp_path: Path) -> None:
    script = str(SUPPORT / "leaving_nothing.py")
    left, errors = run("-X", "dev", "-W", "error", script, str(tmp_path))
    assert left == {"tasks": [], "sockets": 0, "children": []}
    # Losses are logged once each; there is no traceback and no Python warning.
    for word in ("Traceback", "Warning", "Task was destroyed", "never retrieved", "never awaited"):
        assert word not in errors, errors
