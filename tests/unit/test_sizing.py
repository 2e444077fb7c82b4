"""The arithmetic of ``fastcoord tune``, its page, and the search on a model of a bus."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli

from fastcoord.cli.arguments import build_parser
from fastcoord.config import parse_config
from fastcoord.tuning.advice import Advice, Finding, arithmetic_advice, toml_block
from fastcoord.tuning.job import PublisherResult
from fastcoord.tuning.load import Load, default_settings
from fastcoord.tuning.measured import Measured
from fastcoord.tuning.result import Latency, Result
from fastcoord.tuning.search import Search, Stopped
from fastcoord.tuning.sizing import memory_bound, needs, rounded_up, size_up
from fastcoord.tuning.tuning_state import TuningState, read_state, reserved, write_state
from fastcoord.tuning.wording import margin_text, verdict_text
from fastcoord.tuning.workload import Workload

PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"


def workload(**values: Any) -> Workload:
    load = {"rate": 30_000.0, "style": "lone"} | values.pop("load", {})
    return Workload(load=Load(**load), event_bytes=8.0, **values)


def test_stall_decides_subscription() -> None:
    sizing = size_up(workload(stall=3.0), default_settings())
    assert sizing.settings["capacity.subscription"] == 140_000  # 1.5 x 90,001, two digits
    assert sizing.settings["capacity.client"] == 2048


def test_outage_decides_client() -> None:
    load = {"rate": 4_000.0, "publishers": 4}
    sizing = size_up(workload(load=load, outage=3.0), default_settings())
    assert sizing.settings["capacity.client"] == rounded_up(1.5 * (1_000 * 6 + 1))
    assert sizing.max_age is None
    long = workload(load=load, outage=50.0)
    assert size_up(long, default_settings()).max_age == 81
    assert size_up(long, default_settings(), present_max_age=90.0).max_age is None


def test_lists_share_messages() -> None:
    need = needs(workload(load={"style": "list", "list_size": 100}, stall=2.0), 16_384)
    assert (need.events_per_message, need.messages_per_second) == (100, 300)
    assert need.subscription == 601
    need = needs(workload(load={"style": "list", "list_size": 100}, stall=2.0), 403)
    assert need.events_per_message == 50


def test_stream_keeps_messages_of_short_stall() -> None:
    sizing = size_up(workload(stall=3.0, outage=3.0, stream=True), default_settings())
    assert sizing.needs.subscription == 1
    assert sizing.settings["capacity.subscription"] == 65_536
    assert sizing.settings["capacity.client"] > 2048
    assert needs(workload(stall=6.0, stream=True), 16_384).subscription == 180_001


def test_many_nodes_share_processes() -> None:
    many = workload(load={"rate": 800.0, "publishers": 40}, stall=1.0, outage=1.0)
    assert (many.with_stall().publishers, many.with_stall().rate) == (8, 800.0)
    assert (many.with_outage().publishers, many.with_outage().rate) == (8, 160.0)


def test_small_load_changes_nothing() -> None:
    small = workload(load={"rate": 100.0}, stall=3.0, outage=3.0)
    advice = arithmetic_advice(default_settings(), size_up(small, default_settings()), "nats")
    assert advice.defaults_suffice
    assert toml_block(advice) == ""


def test_memory_limit_is_kept() -> None:
    limited = workload(load={"rate": 5_000.0}, stall=1.0, outage=3.0, memory=100 << 20)
    sizing = size_up(limited, default_settings())
    assert sizing.problems == []
    assert memory_bound(sizing.settings) == sizing.memory <= 100 << 20
    assert sizing.settings["capacity.client"] >= 1.5 * 5_000 * 6
    assert sizing.settings["capacity.batch-bytes"] == 1024


def test_memory_limit_reduces_no_more_than_needed() -> None:
    load = {"rate": 2_000.0, "publishers": 6}
    sizing = size_up(workload(load=load, outage=25.0, memory=128 << 20), default_settings())
    assert sizing.memory <= 128 << 20
    # Smaller batches are enough; the bytes of a subscription need not be reduced as well.
    assert sizing.settings["capacity.batch-bytes"] == 1024
    assert sizing.settings["capacity.subscription-bytes"] == 64 << 20


@pytest.mark.parametrize("memory", [None, 1 << 20])
def test_largest_event_fits_into_batch(memory: int | None) -> None:
    rare = workload(load={"rate": 20.0}, memory=memory, largest_event=100_006)
    assert size_up(rare, default_settings()).settings["capacity.batch-bytes"] == 131_072
    exact = workload(load={"rate": 20.0}, largest_event=16_381)
    assert size_up(exact, default_settings()).settings["capacity.batch-bytes"] == 16_384


def test_impossible_limit_is_reported() -> None:
    sizing = size_up(workload(outage=10.0, memory=1 << 20), default_settings())
    assert "allow more memory" in sizing.problems[0]


def test_capacity_stays_valid() -> None:
    most = workload(load={"rate": 1e8}, stall=60.0, outage=3600.0)
    sizing = size_up(most, default_settings())
    assert sizing.settings["capacity.subscription"] == 2**31 - 1
    assert sizing.settings["capacity.client"] == 2**31 - 1
    assert sizing.problems == [
        "capacity.subscription would have to be 9,100,000,000, and at most 2,147,483,647 is valid",
        "capacity.client would have to be 550,000,000,000, and at most 2,147,483,647 is valid",
    ]


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.2, 1), (99.1, 100), (1001, 1100), (135_001, 140_000), (250, 250)]
)
def test_rounding_goes_up(value: float, rounded: int) -> None:
    assert rounded_up(value) == rounded


@pytest.mark.parametrize("store", ['a"b', "a\\b", "tab\t", "\x7f", "ü </script>"])
def test_block_escapes_store(store: str) -> None:
    advice = arithmetic_advice(
        default_settings(), size_up(workload(stall=3.0), default_settings()), store
    )
    assert list(tomli.loads(toml_block(advice))["store"]) == [store]


def test_block_is_valid_configuration() -> None:
    load = workload(stall=3.0, outage=50.0, memory=1 << 30)
    present = default_settings()
    advice = arithmetic_advice(present, size_up(load, present), "nats")
    block = toml_block(advice)
    head, _, cluster = block.partition("[cluster]")
    config = parse_config(
        f'{head}type = "nats"\naddress = "localhost"\n[cluster]\ncoordinator = "nats"{cluster}'
    )
    assert config.nats.capacity.subscription == 140_000
    assert config.cluster.max_age == 81


# --------------------------------------------------------------------------- the worked example


def example() -> tuple[list[str], str]:
    text = PAGE.read_text("utf-8")
    command, _, rest = text.partition("<!-- example: ")[2].partition(" -->")
    return shlex.split(command), rest.partition("\n## ")[0]


def figures(cell: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", cell)]


def test_worked_example_is_right() -> None:
    command, text = example()
    done = subprocess.run(
        [sys.executable, "-m", "fastcoord", *command, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    need, advice = found["sizing"]["needs"], found["advice"]
    rows = dict(re.findall(r"^\| ([a-z-]+) \| (.*) \|$", text, re.M))
    size = round(found["workload"]["event_bytes"], 1)
    assert figures(rows["message"])[:1] == [size]
    assert figures(rows["message"])[-1] == pytest.approx(size + 3)
    assert figures(rows["messages"])[-1] == need["messages_per_second"]
    assert figures(rows["sent"])[-1] == need["sent_per_second"]
    assert figures(rows["reconnect"]) == [need["reconnect"]]
    for name in ("subscription", "client"):
        assert need[name] in figures(rows[name])
        assert round(need[name] * 1.5) in figures(rows[name])
    assert round(need["subscription_bytes"]) in figures(rows["subscription-bytes"])
    assert round(need["subscription_bytes"] * 1.5) in figures(rows["subscription-bytes"])
    assert figures(rows["max-age"])[2] == need["max_age"]
    block = re.search(r"```toml\n(.*?)```", text, re.S)
    assert block is not None
    changed = [each for each in advice["findings"] if each["matters"]]
    assert [f"{each['key']} = {each['recommended']}" for each in changed] == block[1].split("\n")[
        1:-1
    ]
    assert f"{advice['memory'] / 2**20:,.0f} MB" in text.partition("The memory bound")[2]


@pytest.mark.parametrize("page", ["sizing.md", "performance.md"])
def test_commands_of_page_parse(page: str) -> None:
    text = PAGE.with_name(page).read_text("utf-8")
    commands = re.findall(r"^`?(fastcoord (?:bench|tune)\b[^`\n]*)`?$", text, re.M)
    assert commands
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        build_parser(words).parse_args(words)


def test_default_memory_is_documented() -> None:
    assert f"{memory_bound(default_settings()) / 2**20:,.0f} MB with the defaults" in (
        PAGE.read_text("utf-8")
    )


# ----------------------------------------------------------------- the search, on a model of a bus


class Model:
    """A bus on which a stall needs ``needed`` messages of ``MESSAGE_BYTES`` each.

    :param best: the value of capacity.batch-bytes with the lowest latency.
    """

    def __init__(self, needed: int, best: int | None = None) -> None:
        self.needed = needed
        self.best = best
        self.busy_runs = 0
        """So many runs without a stall are slow, because other programs use the machine."""
        self.tried: list[int] = []
        self.bytes: list[int] = []
        self.batches: list[int] = []
        self.stop_after = 10_000

    async def measure(self, load: Load, settings: dict[str, Any]) -> Result:
        if len(self.tried) >= self.stop_after:
            raise Stopped
        messages, size = settings["capacity.subscription"], settings["capacity.subscription-bytes"]
        self.tried.append(messages)
        self.bytes.append(size)
        self.batches.append(settings["capacity.batch-bytes"])
        held = min(self.needed, messages, size // MESSAGE_BYTES)
        p99 = 2.0
        if not load.stall and self.busy_runs:
            self.busy_runs -= 1
            p99 = 100.0
        if self.best is not None:
            ratio = settings["capacity.batch-bytes"] / self.best
            p99 = 4.0 * max(ratio, 1 / ratio) ** 2
        return result(load, settings, self.needed - held if load.stall else 0, held, p99)


MESSAGE_BYTES = 10


def result(
    load: Load, settings: dict[str, Any], missed: int, high_water: int, p99: float
) -> Result:
    latency = Latency(
        samples=1, percentiles={"50": 1.0, "99": p99}, mean=1.0, max=3.0, histogram=""
    )
    publisher = PublisherResult(
        sent=1, accepted=1, confirmed=1, discarded=0, messages=1, sent_bytes=1, measured_events=1,
        measured_seconds=1.0, cpu_seconds=0.1, memory_before=1, memory_peak=1, late_at_end=0.0,
        latest=0.0, reconnects=0,
    )  # fmt: skip
    return Result(
        started_at="", command=[], machine={}, load=load, settings=settings, server="", valid=True,
        interrupted=False, problems=[], notes=[], sent=1, expected=1, received=1, missed=missed,
        duplicated=0, out_of_order=0, discarded=0, reported={}, unknown_losses={},
        events_per_second=1.0, messages_per_second=1.0, events_per_message=1.0,
        bytes_per_message=float(MESSAGE_BYTES), high_water_messages=high_water, corrected=latency,
        uncorrected=latency, publishers=[publisher], subscribers=[],
    )  # fmt: skip


def search_on(
    model: Model,
    finished: list[Measured] | None = None,
    present: dict[str, Any] | None = None,
    **values: Any,
) -> Search:
    load, present = workload(stall=3.0, **values), present or default_settings()
    return Search(
        load,
        present,
        size_up(load, present),
        model.measure,
        budget=60.0,
        on_step=lambda step: None,
        finished=finished,
    )


def finding(advice: Advice, key: str) -> Finding:
    (found,) = (each for each in advice.findings if each.key == key)
    return found


@pytest.mark.parametrize("needed", [500, 64_000, 90_000, 400_000])
async def test_search_finds_minimum(needed: int) -> None:
    advice = await search_on(Model(needed)).run()
    found = finding(advice, "capacity.subscription")
    # If the present value is far larger, its margin is not measured as closely.
    assert needed <= found.minimum <= needed * (1.2 if needed > 10_000 else 2)
    assert found.failing < needed
    assert found.recommended >= needed * 1.4
    assert found.matters is (needed > 60_000)
    assert advice.is_confirmed is True


@pytest.mark.parametrize("present", [64 << 20, 500_000])
async def test_search_finds_minimum_bytes(present: int) -> None:
    model = Model(90_000)
    settings = default_settings() | {"capacity.subscription-bytes": present}
    advice = await search_on(model, present=settings).run()
    found = finding(advice, "capacity.subscription-bytes")
    assert 900_000 <= found.minimum <= 1.2 * 900_000
    assert found.failing < 900_000
    assert found.matters is (present < 900_000)
    assert {found.minimum, found.failing} <= set(model.bytes), "not measured"
    if found.matters:
        assert found.recommended == rounded_up(found.minimum * 1.5)


async def test_search_measures_large_margin_coarsely() -> None:
    model = Model(3)
    search = search_on(model)
    found = finding(await search.run(), "capacity.subscription")
    assert 3 <= found.minimum <= 6
    assert found.failing < 3
    assert margin_text(found) == f"{65_536 / found.failing:,.1f} x"
    assert len(search.runs) < 16


async def test_search_without_failing_value_ends() -> None:
    advice = await search_on(Model(0)).run()
    found = finding(advice, "capacity.subscription")
    assert (found.minimum, found.failing) == (1, 0)
    assert margin_text(found) == "over 65,536.0 x"


async def test_verdict_names_defaults() -> None:
    assert verdict_text(await search_on(Model(500)).run()).startswith("The defaults suffice.")
    larger = default_settings() | {"capacity.subscription": 200_000}
    advice = await search_on(Model(90_000), present=larger).run()
    assert verdict_text(advice).startswith("The present settings suffice.")
    assert verdict_text(await search_on(Model(90_000)).run()).startswith("Put these lines")


async def test_search_keeps_memory_limit() -> None:
    small = {"load": {"rate": 100.0}, "memory": 5 << 20}
    advice = await search_on(Model(300), **small).run()
    assert advice.problems == []
    assert advice.memory == memory_bound(advice.settings) <= 5 << 20
    assert finding(advice, "capacity.subscription").recommended == 1024
    assert "memory limit" in finding(advice, "capacity.subscription").reason
    assert finding(advice, "capacity.client").recommended == 2048


async def test_search_reports_exceeded_memory() -> None:
    # The runs need seven times as many messages as the arithmetic.
    advice = await search_on(Model(700_000), memory=40 << 20).run()
    assert advice.memory > 40 << 20
    assert "allow more memory" in advice.problems[0]
    assert advice.is_confirmed is False


@pytest.mark.parametrize(
    ("best", "found"), [(16_384, 16_384), (65_536, 65_536), (131_072, 131_072)]
)
async def test_search_comes_closer_to_best(best: int, found: int) -> None:
    advice = await search_on(Model(500, best)).run()
    assert finding(advice, "capacity.batch-bytes").recommended == found


@pytest.mark.parametrize(
    ("largest", "best", "found"), [(100_006, 16_384, 131_072), (10_005, 4_096, 16_384)]
)
async def test_search_keeps_largest_event(largest: int, best: int, found: int) -> None:
    model = Model(500, best)
    advice = await search_on(model, largest_event=largest).run()
    batch = finding(advice, "capacity.batch-bytes")
    assert (batch.recommended, batch.matters) == (found, found > 16_384)
    assert batch.reason.startswith("the largest event does not fit") is batch.matters
    assert min(model.batches) >= largest + 3


async def test_failing_bytes_are_measured_without_time() -> None:
    model = Model(90_000)
    search = search_on(model, present=default_settings() | {"capacity.subscription-bytes": 500_000})
    search.ends_at = 0.0
    found = finding(await search.run(), "capacity.subscription-bytes")
    assert found.failing in model.bytes
    assert found.recommended >= 900_000


@pytest.mark.parametrize("busy_runs", [1, 2, 3])
async def test_busy_machine_is_no_reason_to_change(busy_runs: int) -> None:
    model = Model(500)
    model.busy_runs = busy_runs
    advice = await search_on(model).run()
    assert advice.defaults_suffice
    assert "no clear difference" in finding(advice, "capacity.read-buffer").reason


async def test_search_without_time_keeps_default() -> None:
    search = search_on(Model(500))
    search.ends_at = 0.0
    advice = await search.run()
    assert advice.defaults_suffice
    assert [run.purpose for run in search.runs] == ["stall", "steady", "steady", "stall"]


def test_state_is_written_alone(tmp_path: Path) -> None:
    present, file = default_settings(), tmp_path / "state.json"
    sizing = size_up(workload(), present)
    found = TuningState(
        started_at="", machine={}, server="", workload=workload(), present=present, sizing=sizing,
        runs=[],
    )  # fmt: skip
    other = tmp_path / "state.json.new"
    other.write_text("of another search")
    write_state(str(file), found)
    assert read_state(str(file)) == found
    assert other.read_text() == "of another search"
    file.unlink()
    file.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_state(str(file), found)
    assert sorted(tmp_path.iterdir()) == [file, other]


def test_state_has_one_search(tmp_path: Path) -> None:
    file = str(tmp_path / "[s].json")
    left = tmp_path / "[s].json.0123456789ab"
    other = tmp_path / "s.json.0123456789ab"
    for each in (left, other):
        each.touch()
    with reserved(file):
        assert not left.exists()
        with pytest.raises(ValueError, match=r"another search uses .*--state"), reserved(file):
            pass
    assert list(tmp_path.iterdir()) == [other]
    with reserved(file), reserved(str(tmp_path / "second.json")):
        pass
    with reserved(str(tmp_path / "nowhere" / "s.json")):
        assert not (tmp_path / "nowhere").exists()


async def test_search_resumes_finished_runs() -> None:
    model = Model(90_000)
    whole = search_on(model)
    advice = await whole.run()
    runs = len(model.tried)
    interrupted = Model(90_000)
    interrupted.stop_after = 3
    first = search_on(interrupted)
    with pytest.raises(Stopped):
        await first.run()
    assert len(first.runs) == 3
    resumed = Model(90_000)
    again = search_on(resumed, first.runs)
    assert await again.run() == advice
    assert len(resumed.tried) == runs - 3
    assert msgspec.json.encode(again.runs) == msgspec.json.encode(whole.runs)
