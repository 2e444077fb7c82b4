"""``fastcoord bench compare``: the change of each figure, and its limits."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastcoord.cli import main
from support.processes.measured import bench_result

pytest.importorskip("hdrh", reason="the extra bench is not installed")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench_result(tmp_path_factory)


def changed(source: Path, folder: Path, **values: Any) -> str:
    found = json.loads(source.read_bytes())
    for percentile in found["corrected"]["percentiles"]:
        found["corrected"]["percentiles"][percentile] *= values.get("slower", 1.0)
    found["valid"] = values.get("valid", True)
    found["load"] |= values.get("load", {})
    found["stream"] = values.get("stream", False)
    file = folder / "changed.json"
    file.write_text(json.dumps(found))
    return str(file)


def compare(
    capsys: pytest.CaptureFixture[str], before: object, after: object, *words: str
) -> tuple[int, str, str]:
    """Return exit status, output and errors."""
    code = main(["bench", "compare", str(before), str(after), *words])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_compare_reports_changes(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slower = changed(result, tmp_path, slower=1.2)
    assert compare(capsys, result, slower)[0] == 0
    assert compare(capsys, result, slower, "--fail", "p99:30%")[0] == 0
    code, output, _ = compare(capsys, result, slower, "--fail", "p99:10%")
    assert code == 1
    assert re.search(r"^p99 .* ms +\+20.0 % +worse than allowed", output, re.M)
    assert compare(capsys, slower, result, "--fail", "p99:10%")[0] == 0


def test_compare_names_other_load(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = changed(result, tmp_path, load={"seed": 7, "read": "batches"}, stream=True)
    code, output, _ = compare(capsys, result, other)
    assert code == 0
    assert "note: the loads differ: read events / batches, seed 1 / 7\n" in output
    assert "note: only one of the runs used a stream\n" in output


def test_compare_refuses_invalid_runs(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invalid = changed(result, tmp_path, valid=False)
    code, _, errors = compare(capsys, result, invalid, "--fail", "p99:10%")
    assert code == 3
    assert "is not valid" in errors
