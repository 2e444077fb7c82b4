"""``fastcoord bench`` under various loads: what arrives, and how long it takes."""

import json
import re
from pathlib import Path

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.processes.finished import bench

pytest.importorskip("hdrh", reason="the extra bench is not installed")


SHORT = ("--seconds", "0.5", "--warm-up", "0.1")


ATTEMPTS = 4
"""Other processes of a busy machine delay events by more than a tenth of a stall."""


def test_overflow_is_counted() -> None:
    words = ("--rate", "2000", "--lone", "--stall", "0.5", "--set", "capacity.subscription=100")
    done = bench(*words, "--seconds", "1", "--warm-up", "0.1", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["missed"] == found["reported"]["overflow"] > 300
    assert found["high_water_messages"] == 100


def test_flat_out_delivers_everything() -> None:
    words = ("--flat-out", "--publishers", "2", "--subscribers", "2", "--json", "-")
    done = bench(*words, "--seconds", "0.5", "--warm-up", "0")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["corrected"] is None
    assert found["received"] == found["expected"] == 2 * found["sent"] > 2000


def test_stream_delivers_everything(tmp_path: Path) -> None:
    words = ("--stream", "--rate", "300", "--lone", "--seconds", "1", "--warm-up", "0.2")
    with LocalServer(jetstream=True) as server:
        config = tmp_path / "node.toml"
        config.write_text(node_toml(server))
        done = bench(str(config), *words, "--json", "-")
        assert done.returncode == 0, done.stderr
        assert server.monitor("jsz")["streams"] == 0, "the stream was not deleted"
    found = json.loads(done.stdout)
    assert (found["stream"], found["missed"]) == (True, 0)
    assert found["received"] == found["expected"] == 360
    assert 5 < found["bytes_per_message"] < 20


def test_stream_keeps_messages_of_stall() -> None:
    words = ("--stream", "--rate", "500", "--lone", "--stall", "0.5", "--seconds", "1")
    done = bench(*words, "--warm-up", "0.2", "--set", "capacity.subscription=20", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["missed"], found["high_water_messages"]) == (0, 20)
    assert found["corrected"]["max"] > 400


def test_sweep_prints_each_value(tmp_path: Path) -> None:
    file = tmp_path / "sweep.csv"
    words = ("--rate", "300", "--sweep", "capacity.batch-bytes=1KB,16KB", "--csv", str(file))
    done = bench(*words, *SHORT)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^ +([\d,]+) +\d+ ", done.stdout, re.M) == ["1,024", "16,384"]
    assert len(file.read_text().splitlines()) == 3


def p99(*words: str) -> tuple[float, float]:
    """Return the corrected and the uncorrected p99 in milliseconds; stalls last 16 % of the run."""
    done = bench("--rate", "500", "--seconds", "3", *words, "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return tuple(found[name]["percentiles"]["99"] for name in ("corrected", "uncorrected"))


def test_generator_stall_shows_in_corrected() -> None:
    for _ in range(ATTEMPTS):
        corrected, uncorrected = p99("--generator-stall", "500ms")
        assert corrected > 300
        if corrected >= 10 * uncorrected:
            break
    assert corrected >= 10 * uncorrected


def test_consumer_stall_shows_in_both() -> None:
    assert min(p99("--stall", "500ms")) > 300
