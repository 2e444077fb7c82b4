"""Searches of ``fastcoord tune`` on a real server: what they recommend, and resuming."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.processes.finished import tune
from support.processes.measured import KEEP, QUICK, finished_search

pytest.importorskip("hdrh", reason="the extra bench is not installed")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_search(tmp_path_factory)


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "fastcoord-tune.json").read_bytes())
    return found


def test_search_recommends_enough(searched: Path) -> None:
    output = (searched / "output.txt").read_text()
    block = re.search(r'^\[store\."nats"\]\ncapacity\.subscription = (\d+)$', output, re.M)
    assert block is not None
    # 200 messages arrive during the stall.
    assert 200 <= int(block[1]) <= 1200
    assert "Confirmed by runs with these settings." in output
    assert re.search(r"a stall of \S+ s needs [\d,]+; the present value suffices", output)
    assert "capacity.client" in output.partition("These settings can stay as they are:")[2]
    row = re.search(r"^capacity\.subscription +20 .*? (over )?([\d.]+) x$", output, re.M)
    found = next(e for e in state(searched)["advice"]["findings"] if e["matters"])
    assert row is not None
    assert (row[1] is None) is found["is_close"]
    compared = found["failing"] if found["is_close"] else found["minimum"]
    assert float(row[2]) == round(found["recommended"] / compared, 1) >= 1.5
    assert re.search(r"^Memory of the queues of one node .* at most 9\d MB\.$", output, re.M)


def test_resumed_search_keeps_runs(searched: Path) -> None:
    kept = json.loads((searched / "kept.json").read_bytes())["runs"]
    runs = state(searched)["runs"]
    assert [run for run in runs if run in kept] == kept
    assert len(runs) >= 5
    assert len(runs) > len(kept)


def test_missed_objective_exits_with_1(tmp_path: Path) -> None:
    done = tune("--rate", "100", "--objective", "p50<1us", *QUICK, *KEEP, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    said = r"cannot be carried within the limits\.\nNot reached: .* p50<1us is missed: [\d.]+ ms\."
    assert re.search(said, done.stdout)
    assert "suffice." not in done.stdout


def test_large_events_get_larger_batches(tmp_path: Path, shared_server: LocalServer) -> None:
    (tmp_path / "node.toml").write_text(
        node_toml(shared_server, cluster={"protocol": "fastcoord-1"})
    )
    words = ("node.toml", "--rate", "20", "--mix", "AppEvent", "--payload", "100000")
    kept = ("--keep", "capacity.read-buffer")
    done = tune(*words, *kept, *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '\n[store."nats"]\ncapacity.batch-bytes = "128KB"\n\n' in done.stdout
    assert "the largest event does not fit into the present value" in done.stdout
    confirming = state(tmp_path)["runs"][-1]
    assert confirming["settings"]["capacity.batch-bytes"] == 131_072
    assert confirming["result"]["received"] == confirming["result"]["sent"] > 0
    refused = tune(*words, "--keep", "capacity.batch-bytes", cwd=tmp_path)
    assert refused.returncode == 2
    assert "an event takes 100,006 bytes, and does not fit into capacity" in refused.stderr
