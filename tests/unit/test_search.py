"""The search of ``fastcoord tune`` on a model of a bus, and the file of its runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastcoord.tuning.advice import Advice, Finding
from fastcoord.tuning.job import PublisherResult
from fastcoord.tuning.load import Load, NotMeasured, default_settings
from fastcoord.tuning.measured import Measured
from fastcoord.tuning.report.content import report_data
from fastcoord.tuning.result import Latency, Result
from fastcoord.tuning.search import Search, Stopped
from fastcoord.tuning.sizing import memory_bound, rounded_up, size_up
from fastcoord.tuning.threshold import find_bracket
from fastcoord.tuning.tuning_state import TuningState, read_state, reserved, write_state
from fastcoord.tuning.wording import margin_text, verdict_text
from fastcoord.tuning.workload import Workload


def workload(**values: Any) -> Workload:
    load = {"rate": 30_000.0, "style": "lone"} | values.pop("load", {})
    return Workload(load=Load(**load), event_bytes=8.0, **values)


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
        self.in_time = 10_000
        """After so many runs, the time of ``search`` is used up."""
        self.search: Search | None = None
        self.bytes_of_message = MESSAGE_BYTES
        self.invalid: set[int] = set()
        """Runs with these messages of a subscription, or bytes of a batch, are not valid."""

    async def measure(self, load: Load, settings: dict[str, Any]) -> Result:
        if len(self.tried) >= self.stop_after:
            raise Stopped
        messages, size = settings["capacity.subscription"], settings["capacity.subscription-bytes"]
        self.tried.append(messages)
        if self.search is not None and len(self.tried) >= self.in_time:
            self.search.ends_at = 0.0
        self.bytes.append(size)
        self.batches.append(settings["capacity.batch-bytes"])
        held = min(self.needed, messages, size // self.bytes_of_message)
        p99 = 2.0
        if not load.stall and self.busy_runs:
            self.busy_runs -= 1
            p99 = 100.0
        if self.best is not None:
            ratio = settings["capacity.batch-bytes"] / self.best
            p99 = 4.0 * max(ratio, 1 / ratio) ** 2
        found = result(load, settings, self.needed - held if load.stall else 0, held, p99)
        if self.invalid.isdisjoint({messages, settings["capacity.batch-bytes"]}):
            return found
        return msgspec.structs.replace(found, valid=False, problems=[LATE])


MESSAGE_BYTES = 10
LATE = "the publishers could not keep up"


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


@pytest.mark.parametrize(("first", "minimum"), [(3, 4), (900, 1800), (900, 20_000)])
async def test_need_above_start_is_closed_in(first: int, minimum: int) -> None:
    tried: list[int] = []

    async def suffices(value: int) -> bool:
        tried.append(value)
        return value >= minimum

    found = await find_bracket(
        suffices, lambda: True, present=64 << 20, is_present_good=True, start=first
    )
    assert found.is_close
    assert found.failing < minimum <= found.good <= 2 * minimum
    assert len(tried) <= 7


@pytest.mark.parametrize(
    ("runs", "key", "needed", "margin"),
    [
        (2, "capacity.subscription", "at most 500", "over 131.1 x"),
        (4, "capacity.subscription-bytes", "at most 67,108,864", "over 1.0 x"),
        (5, "capacity.subscription-bytes", "10,000", "13,421.8 x"),
    ],
)
async def test_ended_search_claims_no_need(runs: int, key: str, needed: str, margin: str) -> None:
    model = Model(500)
    model.bytes_of_message = 11
    model.in_time = runs
    search = model.search = search_on(model)
    advice = await search.run()
    found = finding(advice, key)
    assert found.reason.startswith(f"a stall of 3 s needs {needed}")
    is_ended = needed.startswith("at most")
    assert ("the search ended before a closer value" in found.reason) is is_ended
    assert found.is_close is not is_ended
    assert margin_text(found) == margin
    assert advice.defaults_suffice


@pytest.mark.parametrize("needed", [1, 700, 65_000, 200_000])
@pytest.mark.parametrize(
    "is_measured", [lambda n: n % 3, lambda n: n % 5, lambda n: n > 300, lambda n: n != 65_536]
)
async def test_bracket_has_measured_values(needed: int, is_measured: Callable[[int], bool]) -> None:
    present = 65_536
    tried: dict[int, bool | None] = {}

    async def suffices(value: int) -> bool | None:
        tried[value] = value >= needed if is_measured(value) else None
        return tried[value]

    found = await find_bracket(
        suffices,
        lambda: True,
        present=present,
        is_present_good=present >= needed if is_measured(present) else None,
        start=needed - needed // 3,
    )
    assert found.good == present or tried[found.good] is True
    assert found.failing in (0, present) or tried[found.failing] is False
    assert found.failing < needed <= found.good
    assert len(tried) < 20


async def test_value_not_measured_is_skipped() -> None:
    model = Model(500)
    model.invalid = {65_536 * 2, 1 << 16}
    search = search_on(model, present=default_settings() | {"capacity.subscription": 65_535})
    found = finding(advice := await search.run(), "capacity.batch-bytes")
    assert (found.recommended, found.not_measured) == (16_384, {65_536: LATE})
    assert found.reason == f"no clear difference with 4,096; 65,536 was not measured: {LATE}"
    assert advice.is_confirmed
    (skipped,) = (each for each in search.runs if each.problem)
    assert (skipped.varied, skipped.is_good) == ("capacity.batch-bytes = 65,536", False)
    calm = Model(500)
    resumed = search_on(
        calm, search.runs, present=default_settings() | {"capacity.subscription": 65_535}
    )
    assert finding(await resumed.run(), "capacity.batch-bytes").not_measured == {}
    assert calm.batches == [65_536]


async def test_present_value_not_measured_is_skipped() -> None:
    model = Model(90_000)
    model.invalid = {65_536}
    found = finding(await search_on(model).run(), "capacity.subscription")
    assert found.minimum in model.tried
    assert found.not_measured == {65_536: LATE}
    assert found.failing == 0
    assert "needs at most" in found.reason
    assert found.recommended == 140_000


@pytest.mark.parametrize("invalid", [{140_000}, {65_536, 91_000, 182_000}])
async def test_recommendation_is_never_unmeasured(invalid: set[int]) -> None:
    model = Model(90_000)
    model.invalid = invalid
    with pytest.raises(NotMeasured, match=LATE):
        await search_on(model).run()


async def test_report_names_skipped_runs() -> None:
    model = Model(500)
    model.invalid = {65_536}
    search = search_on(model, present=default_settings() | {"capacity.subscription": 65_535})
    advice = await search.run()
    machine = dict.fromkeys(("cores", "processor", "system", "load_before", "python"), "")
    state = TuningState(
        started_at="", machine=machine | {"versions": {}}, server="", workload=workload(stall=3.0),
        present=default_settings(), sizing=search.sizing, advice=advice,
        runs=[run for run in search.runs if run.varied != "confirm"],
    )  # fmt: skip
    data = report_data(state)
    verdicts = [run["verdict"] for run in data["runs"]]
    assert verdicts.count(f"not measured: {LATE}") == 1
    charts = {chart["id"]: chart["x"] for chart in data["charts"]}
    assert charts["capacity.batch-bytes:speed"] == [4096, 16_384]


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
    damaged = tmp_path / "damaged.json"
    write_state(str(damaged), found)
    damaged.write_bytes(damaged.read_bytes().replace(b"30000.0", b"30001.0"))
    with pytest.raises(ValueError, match=r"damaged.json is damaged, or was changed by hand"):
        read_state(str(damaged))
    damaged.unlink()
    other = tmp_path / "state.json.new"
    other.write_text("of another search")
    write_state(str(file), found)
    assert read_state(str(file)) == found
    assert other.read_text() == "of another search"
    file.unlink()
    alias = tmp_path / "alias.json"
    alias.symlink_to(file)
    write_state(str(alias), found)
    assert read_state(str(file)) == found
    alias.unlink()
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
    alias = str(tmp_path / "alias.json")
    Path(alias).symlink_to(file)
    with reserved(file):
        assert not left.exists()
        with pytest.raises(ValueError, match=r"another search uses .*--state"), reserved(alias):
            pass
    Path(alias).unlink()
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
