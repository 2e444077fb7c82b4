"""The fuzzer itself: it finds errors, saves inputs that crash, and repeats a run by its seed."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Hashable
from pathlib import Path

import pytest
from codec_target import CodecTarget
from engine import Engine
from parser_target import ParserTarget

import fuzz
from support.oracles import frames as reference_frames
from support.oracles import reference
from support.oracles.comparison import assert_same_outcome

SEED = 20260


def test_fuzzed_inputs_match_reference() -> None:
    report = Engine(CodecTarget(), seed=SEED).run(executions=2_000)
    assert report.finding is None
    assert report.executions == 2_000
    assert report.kinds > 100


def test_fuzzed_streams_match_reference() -> None:
    report = Engine(ParserTarget(), seed=SEED).run(executions=2_000)
    assert report.finding is None
    assert report.kinds > 30


@pytest.mark.parametrize("wrong", [4, 1 << 62])
def test_fuzzer_finds_wrong_parser_limit(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_frames, "U64", wrong)
    finding = Engine(ParserTarget(), seed=SEED).run(executions=20_000).finding
    assert finding is not None
    assert "the reference" in finding.reason


@pytest.mark.parametrize(("bits", "wrong"), [(16, 2), (16, 4), (32, 4), (32, 6), (64, 9), (64, 11)])
def test_fuzzer_finds_wrong_codec_limit(
    bits: int, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reference.MAXIMUM_BYTES, bits, wrong)
    finding = Engine(CodecTarget(), seed=SEED).run(executions=50_000).finding
    assert finding is not None
    assert "the reference" in finding.reason


def test_finding_is_minimised() -> None:
    class Target(CodecTarget):
        def run(self, data: bytes) -> Hashable:
            assert b"\x0c" not in data, "twelve"
            return None

        def seeds(self) -> list[bytes]:
            return [bytes(range(200, 100, -1))]

    finding = Engine(Target(), seed=SEED).run(executions=100_000).finding
    assert finding is not None
    assert finding.data == b"\x0c"


def test_unexpected_exception_is_finding() -> None:
    class Target(CodecTarget):
        def run(self, data: bytes) -> Hashable:
            raise SystemError("error return without exception set")

    finding = Engine(Target(), seed=SEED).run(executions=1).finding
    assert finding is not None
    assert "SystemError: error return without exception set" in finding.reason


def test_seed_repeats_run() -> None:
    tried: list[list[bytes]] = []
    for _ in range(2):
        inputs: list[bytes] = []
        Engine(CodecTarget(), seed=SEED, before_each=inputs.append).run(executions=1_000)
        tried.append(inputs)
    assert tried[0] == tried[1]


def test_generated_inputs_are_well_formed() -> None:
    target, chance = CodecTarget(), random.Random(SEED)
    for _ in range(200):
        data = target.generate(chance)
        protocol = tuple(reference.PROTOCOLS)[data[0]]
        assert assert_same_outcome(data[1:], protocol).offset is None


def test_crash_saves_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "FINDINGS", tmp_path)
    last_input = fuzz.LastInput(tmp_path / "last-input")
    child = subprocess.Popen(
        [sys.executable, "-c", _write_and("os.abort()"), str(last_input.path)],
        cwd=Path(__file__).parent,
    )
    assert fuzz.watch(child, last_input, "codec") == 1
    assert "FINDING: the process ended with -6" in capsys.readouterr().out
    assert [path.read_bytes() for path in tmp_path.glob("codec-*")] == [b"the culprit"]


def test_hanging_input_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "FINDINGS", tmp_path)
    monkeypatch.setattr(fuzz, "STUCK", 1.0)
    last_input = fuzz.LastInput(tmp_path / "last-input")
    child = subprocess.Popen(
        [sys.executable, "-c", _write_and("threading.Event().wait()"), str(last_input.path)],
        cwd=Path(__file__).parent,
    )
    try:
        # Until the child has written its input, it is starting and does not hang.
        while last_input.read()[0] == 0:
            assert child.poll() is None
        assert fuzz.watch(child, last_input, "codec") == 1
    finally:
        child.kill()
        child.wait()
    assert "FINDING: one input took more than" in capsys.readouterr().out
    assert [path.read_bytes() for path in tmp_path.glob("codec-*")] == [b"the culprit"]


def _write_and(then: str) -> str:
    return (
        "import os, sys, threading; from pathlib import Path; import fuzz;"
        f" fuzz.LastInput(Path(sys.argv[1])).write(b'the culprit'); {then}"
    )
