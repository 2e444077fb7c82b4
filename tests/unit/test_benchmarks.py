"""The benchmarks run: their results are correct, and the names they use exist."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.once import filled_once

ROOT = Path(__file__).parents[2]


def run_module(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the benchmarks from the project's directory."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do a quick run of the parts that need several processes or all peers."""
    return filled_once(tmp_path_factory, "benchmarks", run_quickly) / "results.json"


def run_quickly(folder: Path) -> None:
    output = str(folder / "results.json")
    done = run_module(
        "benchmarks.run", "--quick", "--only", "micro", "end_to_end", "--output", output
    )
    assert done.returncode == 0, done.stderr


def test_quick_run_measures_every_peer(quick_run: Path) -> None:
    results: dict[str, Any] = json.loads(quick_run.read_text())
    assert {"encode", "decode", "encode_mixed", "decode_mixed", "ring", "batcher"} <= {
        contest["key"] for contest in results["micro"]
    }
    for contest in results["micro"]:
        for figure in contest["figures"]:
            assert 0 < figure["least"] <= figure["median"] <= figure["most"]
    assert results["end_to_end"]["failed"] == {}
    carried = [figure["name"] for figure in results["end_to_end"]["figures"]["rate"]]
    assert carried[0] == "fastcoord"
    assert any("nats-py" in name for name in carried)


def test_report_has_row_per_peer(quick_run: Path) -> None:
    done = run_module("benchmarks.report", str(quick_run))
    assert done.returncode == 0, done.stderr
    for contest in json.loads(quick_run.read_text())["micro"]:
        assert contest["title"] in done.stdout
    assert "## goals" in done.stdout


def test_report_has_column_per_python(quick_run: Path, tmp_path: Path) -> None:
    other = json.loads(quick_run.read_text())
    other["facts"]["python"] = "3.9.99"
    further = tmp_path / "pythons.json"
    further.write_text(json.dumps({"pythons": {"3.9.99": other}}))
    done = run_module("benchmarks.report", str(quick_run), str(further))
    assert done.returncode == 0, done.stderr
    for table in ("goals", "micro_by_python"):
        head = done.stdout.split(f"## {table}\n\n")[1].splitlines()[0]
        columns = [cell.strip() for cell in head.split("|") if "CPython" in cell]
        assert columns == ["CPython 3.9.99", f"CPython {platform.python_version()}"]


def test_quick_figures_are_not_documented(quick_run: Path, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("<!-- table: micro -->\n<!-- end -->\n")
    done = run_module("benchmarks.report", str(quick_run), "--docs", str(page))
    assert done.returncode != 0
    assert "quick run" in done.stderr
    assert page.read_text() == "<!-- table: micro -->\n<!-- end -->\n"


def test_page_has_every_table() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks.report import TABLES; print(*TABLES)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    page = (ROOT / "docs" / "performance.md").read_text()
    for name in done.stdout.split():
        assert f"<!-- table: {name} -->" in page


def test_capacity_curve_is_measured() -> None:
    pytest.importorskip("hdrh", reason="the extra bench is not installed")
    done = run_module("benchmarks.capacity", "--only", "capacity.read-buffer", "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "performance.md").read_text().partition("<!-- capacity curves -->")[2]
    # On a busy machine, a run that is so short may have no measured event.
    values = r"^\| ([\d,]+) \| [\d,]+ (?:\| (?:[\d.,]+|not measured) ){2}\| 0 \|"
    documented = page.partition("### `capacity.read-buffer`\n")[2].partition("###")[0]
    measured = re.findall(values, done.stdout, re.M)
    assert measured == re.findall(values, documented, re.M)
    assert len(measured) == 5
    assert "`fastcoord bench --flat-out --seconds 0.2" in done.stdout
