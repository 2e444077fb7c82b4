"""``fastcoord bench`` as a process: the forms of its result, objectives, and wrong usage."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from fastcoord.cli import main
from support.processes.finished import bench, finished, is_fine_or_late
from support.processes.measured import bench_result

pytest.importorskip("hdrh", reason="the extra bench is not installed")


SHORT = ("--seconds", "0.5", "--warm-up", "0.1")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench_result(tmp_path_factory)


def test_result_accounts_for_events(result: Path) -> None:
    found = json.loads(result.read_bytes())
    assert found["valid"] is True
    assert found["sent"] == found["received"] == found["expected"] == 600
    assert found["corrected"]["samples"] == 500
    assert found["publishers"][0]["confirmed"] == 600
    for side in (*found["publishers"], *found["subscribers"]):
        assert side["memory_peak"] > 5_000_000
        assert 0.01 < side["cpu_seconds"] < 2
        assert side["event_loop"] == "asyncio"
    assert found["settings"]["capacity.client"] == 2048


def test_other_forms_are_written(tmp_path: Path) -> None:
    files = {name: tmp_path / f"result.{name}" for name in ("csv", "hgrm")}
    words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    missed = ("--objective", "p50<1us,missed=0")
    done = bench("--rate", "600", "--list", "10", "--read", "batches", *missed, *SHORT, *words)
    assert done.returncode == 1, done.stderr
    assert re.search(r"objective p50<1us: missed \([\d.]+ ms\)", done.stdout)
    assert "objective missed=0: met" in done.stdout
    header, row = files["csv"].read_text().splitlines()
    figures = dict(zip(header.split(","), row.split(","), strict=True))
    assert (figures["sent"], figures["missed"], figures["style"]) == ("360", "0", "list")
    highest = []
    for file in (files["hgrm"], tmp_path / "result.uncorrected.hgrm"):
        match = re.search(r"^#\[Max +=\s+([\d.]+)", file.read_text(), re.M)
        assert match is not None
        highest.append(float(match[1]))
    corrected, uncorrected = highest
    assert corrected >= uncorrected > 0
    assert corrected == pytest.approx(float(figures["max"]), rel=0.01)


def test_unwritable_result_costs_no_other(tmp_path: Path) -> None:
    file = tmp_path / "result.csv"
    done = bench("--rate", "100", *SHORT, "--json", "/dev/full", "--csv", str(file))
    assert done.returncode == 2
    assert "/dev/full cannot be written: No space left on device" in done.stderr
    assert len(file.read_text().splitlines()) == 2


def test_json_on_output_is_alone() -> None:
    pytest.importorskip("uvloop")
    mix = "StateChange=3,CacheInvalidate=1,AppEvent"
    done = bench("--rate", "400", "--mix", mix, "--loop", "uvloop", "--json", "-", *SHORT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["load"]["mix"]["StateChange"] == 3
    assert "missed 0" in done.stderr
    sides = [*found["publishers"], *found["subscribers"]]
    assert {each["event_loop"] for each in sides} == {"uvloop"}


async def test_modules_of_folder_are_not_imported(tmp_path: Path) -> None:
    """The processes of a run import the modules of the command, not those where it is started."""
    if sys.version_info < (3, 11):
        pytest.skip("Python 3.10 has no PYTHONSAFEPATH")
    (tmp_path / "msgspec.py").write_text("raise SystemExit('of another program')")
    code = "import sys; sys.path.remove(''); from fastcoord.cli import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "bench", "--seconds", "0.1", "--warm-up", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 240)
    assert is_fine_or_late(process.returncode, errors.decode()), errors


def test_impossible_rate_exits_with_3() -> None:
    words = ("--rate", "90000000", "--lone", "--seconds", "0.1", "--warm-up", "0")
    done = finished("bench", *words)
    assert done.returncode == 3
    problem = r"could not keep up: [\d,]+ of 9,000,000 events were published; choose a smaller rate"
    assert re.search(problem, done.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "5", "--flat-out"], "exclude each other"),
        (["--mix", "ReloadSettings"], "has no field for the number"),
        (["--mix", "StateChang"], "did you mean StateChange"),
        (["--objective", "p98<5ms"], "is not an objective"),
        (["--set", "capacity.client=0"], "allowed is"),
        (["--stall", "30"], "--seconds must be at least"),
        (["--mix", "AppEvent", "--protocol", "stalwart-0.15"], "has no AppEvent"),
        (["missing.toml"], "there is no such file"),
        (["--seconds", "nan"], "is not a time"),
        (["--stall", "-1"], "is not a time"),
        (["--rate", "0.1", "--publishers", "4"], "--seconds must be at least 60.0"),
        (["--seconds", "0"], "--seconds must be above zero"),
        (["--subject", "a b"], "is no subject"),
        (["--json", "nowhere/a.json"], "there is no directory nowhere"),
        (["--sweep", "capacity.client=8", "--csv", "."], "it is a directory"),
        (["--json", "-", "--csv", "-"], "only one result"),
        (["--json", "a", "--csv", "./a"], "a is needed twice"),
        (["node.toml", "--json", "./node.toml"], "node.toml is needed twice"),
        (["--objective", "p99<1.2.3ms"], "is not an objective"),
        (["compare", "one.json"], "compare takes two files"),
        (["compare", __file__, __file__], "is not a result of fastcoord bench"),
        (["compare", "one.json", "two.json", "--fail", "p99:1.2.3%"], "is not a limit"),
        (["compare", "one.json", "two.json"], "cannot be read"),
    ],
)
def test_wrong_usage_exits_with_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    assert said in capsys.readouterr().err
