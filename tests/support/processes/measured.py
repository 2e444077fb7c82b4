"""Results of ``bench`` and ``tune`` that several tests read: each is measured once."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.once import filled_once
from support.processes.finished import bench, tune

LOAD = ("--rate", "400", "--lone", "--stall", "0.5")
QUICK = ("--seconds", "0.5", "--minutes", "0.02")
KEEP = ("--keep", "capacity.read-buffer", "--keep", "capacity.batch-bytes")


def bench_result(factory: pytest.TempPathFactory) -> Path:
    """Return the JSON result of a short run on a bundled server."""

    def measure(folder: Path) -> None:
        words = ("--rate", "1000", "--lone", "--seconds", "0.5", "--warm-up", "0.1")
        done = bench(*words, "--json", str(folder / "result.json"))
        assert done.returncode == 0, done.stderr
        assert "missed 0, duplicated 0, out of order 0" in done.stdout
        assert re.search(
            r"^latency +corrected +uncorrected\np50 +[\d.]+ ms +[\d.]+ ms$", done.stdout, re.M
        )
        assert "sent 600 (with those of the warm-up of 0.1 s), expected 600" in done.stdout
        assert "bytes a message (events are numbered from 0)" in done.stdout
        assert "Traceback" not in done.stderr

    return filled_once(factory, "bench-result", measure) / "result.json"


def finished_search(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a search whose present capacity is too small.

    The search was interrupted in its third run, or later on a busy machine, and resumed. The folder
    has the state, the report and the output, and in ``kept.json`` the state after the interruption.
    """
    return filled_once(factory, "tune-search", _search)


def _search(folder: Path) -> None:
    words = ("node.toml", *LOAD, *QUICK, "--report", "report.html")
    with LocalServer() as server:
        text = node_toml(server, capacity={"subscription": 20})
        (folder / "node.toml").write_text(text)
        interrupted = subprocess.Popen(
            [sys.executable, "-m", "fastcoord", "tune", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        assert interrupted.stderr is not None
        for line in interrupted.stderr:
            if line.startswith("run 3,"):
                break
        interrupted.send_signal(signal.SIGINT)
        output, errors = interrupted.communicate(timeout=60)
        assert (interrupted.returncode, output) == (130, "")
        kept = (folder / "fastcoord-tune.json").read_bytes()
        (folder / "kept.json").write_bytes(kept)
        runs = len(json.loads(kept)["runs"])
        assert runs >= 2
        said = f"interrupted after {runs} runs; continue with the same options and --resume"
        assert said in errors
        assert not (folder / "report.html").exists()
        other = tune(*words, "--resume", "--burst", "5", cwd=folder)
        assert (other.returncode, "is of another load" in other.stderr) == (2, True)
        done = tune(*words, "--resume", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)
