"""The parts of the benchmark that need no process: schedule, ledger, objectives, histograms."""

import random
import re
import tracemalloc
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import pytest

import fastcoord
from fastcoord.cli.measuring import failure_text
from fastcoord.config import parse_config
from fastcoord.errors import ServerNotFound
from fastcoord.nats.rights import denied, needed_rights
from fastcoord.tuning.event_data import NUMBERED_KINDS, NumberedEvents, event_sizes
from fastcoord.tuning.histograms import hgrm, latencies
from fastcoord.tuning.job import SubscriberResult
from fastcoord.tuning.load import (
    LibraryMissing,
    Load,
    NotMeasured,
    apply_settings,
    default_settings,
    parse_setting,
)
from fastcoord.tuning.missing_rights import missing_rights_text
from fastcoord.tuning.objectives import parse_limit, parse_objectives
from fastcoord.tuning.result import Latency, read_result
from fastcoord.tuning.run import sampling_stride
from fastcoord.tuning.subscribing import Ledger
from fastcoord.tuning.summing import summed
from fastcoord.tuning.tuning_state import read_state


@pytest.mark.parametrize("read", [read_result, read_state])
@pytest.mark.parametrize("text", [b'{"format":"\xff"}', b"[" * 100_000, b"", b"null"])
def test_unreadable_file_is_named(tmp_path: Path, read: Callable[[str], Any], text: bytes) -> None:
    file = tmp_path / "before.json"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=r"before\.json (is not|was not)"):
        read(str(file))


def test_schedule_is_even() -> None:
    load = Load(rate=1000.0, publishers=2)
    assert [load.due_at(0, number) for number in range(3)] == [0, 2_000_000, 4_000_000]
    assert [load.due_at(1, number) for number in range(2)] == [1_000_000, 3_000_000]


@pytest.mark.parametrize("load", [Load(rate=700.0), Load(rate=30_000.0, burst=50, publishers=3)])
def test_due_count_matches_schedule(load: Load) -> None:
    for number in range(0, 500, load.group):
        at = load.due_at(0, number)
        assert load.due(0, at + 2_000) >= number + load.group
        assert load.due(0, at - 2_000) <= number


def test_lists_are_due_together() -> None:
    load = Load(rate=1000.0, style="list", list_size=30, burst=100)
    assert load.group == 120
    assert load.due_at(0, 119) == 0 < load.due_at(0, 120)
    assert (load.events_per_publisher or 0) % 120 == 0


@pytest.mark.parametrize("group", [1, 10, 50, 360])
def test_samples_have_every_place_in_group(group: int) -> None:
    stride = sampling_stride(1_000_000, group)
    assert 10 <= stride <= 13
    assert len({number % group for number in range(0, 100_000, stride)}) == group
    assert sampling_stride(5, group) == 1


def test_ledger_counts_exactly() -> None:
    ledger = Ledger(2)
    numbers = [n * 2 + p for p in (0, 1) for n in range(200)]
    lost = {6, 8, 10, 101}
    draw = random.Random(4)
    arrived = [n for n in numbers if n not in lost]
    repeated = draw.sample(arrived, 20)
    for number in (*arrived, *repeated):
        ledger.note(number)
    assert (ledger.distinct, ledger.duplicated, ledger.out_of_order) == (396, 20, 0)
    for number in (8, 6, 8):
        ledger.note(number)
    assert (ledger.distinct, ledger.duplicated, ledger.out_of_order) == (398, 21, 2)


def subscriber_result(measured_events: int, read_seconds: float) -> SubscriberResult:
    return SubscriberResult(
        received=50, duplicated=0, out_of_order=0, foreign=0, reported={}, unknown_losses={},
        messages=50, received_bytes=500, measured_events=measured_events,
        read_seconds=read_seconds, cpu_seconds=0.1, memory_before=1, memory_peak=1,
        high_water_messages=1, reconnects=0, ended_by_silence=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("load", "read_seconds", "rate"),
    [
        (Load(rate=1.0, seconds=20.0), 0.001, 2.0),  # the only events are due at the beginning
        (Load(rate=4.0, seconds=10.0), 20.0, 2.0),  # reading took longer than publishing
        (Load(rate=None, seconds=10.0), 20.0, 2.0),
        (Load(rate=None, seconds=20.0), 10.0, 4.0),
    ],
)
def test_speed_is_that_of_whole_time(load: Load, read_seconds: float, rate: float) -> None:
    subscriber = subscriber_result(40, read_seconds)
    assert summed(load, [None], [subscriber], [], False)["events_per_second"] == rate


@pytest.mark.parametrize("refused", [slice(0, 4), slice(1, 4), slice(0, 1)])
def test_missing_right_is_named_once(refused: slice) -> None:
    subject = "fastcoord.bench.0123456789ab"
    config = parse_config(
        '[store.n]\ntype="nats"\naddress="localhost"\n'
        f'[cluster]\ncoordinator="n"\nsubject="{subject}"'
    )
    rights = needed_rights(config)[refused]
    text = missing_rights_text(f"PermissionDenied: {denied(rights)}", subject, "fastcoord.bench")
    for direction in ("publish", "subscribe"):
        allow = f'{{ {direction}: {{ allow: ["fastcoord.bench.>"] }} }}'
        assert text.count(allow) == any(each.direction == direction for each in rights)
    assert "presence" not in text
    assert "0123456789ab" not in text
    assert text.endswith("; or choose another place with --subject")


@pytest.mark.parametrize("kind", [ServerNotFound, LibraryMissing])
def test_missing_part_is_no_run(kind: type[Exception]) -> None:
    assert failure_text(kind("pip install"), "the run is not valid") == "pip install"
    assert failure_text(NotMeasured("late"), "a run was not valid") == "a run was not valid: late"


def test_other_failure_stays() -> None:
    assert missing_rights_text("ConnectError: no server", "a.b", "a") == "ConnectError: no server"
    stream = "PermissionDenied: the server does not permit this user to publish on $JS.API.INFO: x"
    assert "publish on $JS.API.INFO: grant" in missing_rights_text(stream, "a.b", "a")


def test_killed_publisher_gives_no_negative_count() -> None:
    subscriber = subscriber_result(40, 1.0)
    problem = "publisher 1: the process ended: exit code -9"
    found = summed(Load(rate=100.0), [None], [subscriber], [problem], False)
    assert (found["sent"], found["received"], found["missed"]) == (0, 50, 0)
    assert (found["valid"], found["problems"]) == (False, [problem])


@pytest.mark.parametrize("kind", NUMBERED_KINDS)
def test_every_kind_carries_number(kind: str) -> None:
    mix = {kind: 1}
    events = NumberedEvents(mix, payload_bytes=20, seed=3)
    read = NumberedEvents.readers(mix)
    for number in (0, 1, 77, (1 << 32) - 1):
        event = events.make(number)
        payload = fastcoord.encode_batch(
            [event],
            node_id=1,
            protocol="stalwart-0.15" if kind == "ReloadPushServers" else "fastcoord-1",
        )
        protocol = "stalwart-0.15" if kind == "ReloadPushServers" else "fastcoord-1"
        (decoded,) = fastcoord.decode_batch(payload, protocol=protocol)
        assert read[type(decoded)](decoded) == number


def test_events_are_reproducible() -> None:
    mix = {"StateChange": 3, "CacheInvalidate": 1}
    first, second = (NumberedEvents(mix, 40, seed=9) for _ in range(2))
    assert [first.make(n) for n in range(600)] == [second.make(n) for n in range(600)]


def test_average_size_is_measured() -> None:
    assert mean(event_sizes({"AppEvent": 1}, 1000, "fastcoord-1")) == pytest.approx(1005, abs=2)
    assert 6 < mean(event_sizes({"StateChange": 1}, 0, "stalwart-0.15")) < 12


def test_hgrm_is_in_milliseconds() -> None:
    library = pytest.importorskip("hdrh.histogram", reason="the extra bench is not installed")
    histogram = library.HdrHistogram(1, 3_600_000_000_000, 3)
    for milliseconds in (10, 20, 30):
        histogram.record_value(milliseconds * 1_000_000)
    encoded = histogram.encode().decode()
    latency = Latency(samples=3, percentiles={}, mean=20.0, max=30.0, histogram=encoded)
    line = next(each for each in hgrm(latency).splitlines() if "StdDeviation" in each)
    found = [float(word) for word in re.findall(r"[\d.]+", line)]
    assert found == pytest.approx([20.0, (200 / 3) ** 0.5], rel=0.01)


def test_longest_latency_counts(tmp_path: Path) -> None:
    pytest.importorskip("hdrh", reason="the extra bench is not installed")
    published, received = tmp_path / "published", tmp_path / "received"
    published.write_bytes(array("q", [0, 1, 1, 2]).tobytes())
    received.write_bytes(array("q", [0, 1_000_000, 1, 7_200_000_000_000]).tobytes())
    load = Load(rate=1.0, warm_up=0.0)
    corrected, uncorrected = latencies(load, 0, [published], [received])
    assert corrected is not None
    assert uncorrected is not None
    assert corrected.samples == uncorrected.samples == 2
    assert corrected.max == uncorrected.max == pytest.approx(3_600_000, rel=0.01)


def test_large_payloads_share_memory() -> None:
    tracemalloc.start()
    try:
        events = NumberedEvents({"AppEvent": 1}, 100_000, 1)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
    assert len(events.make(7).payload) == 100_000  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("load", "seconds"),
    [
        (Load(rate=0.1, publishers=4, seconds=0.5, warm_up=0.2), "60.0"),
        (Load(rate=1000.0, style="list", list_size=100_000), "150.0"),
        (Load(rate=0.1), "15.0"),
    ],
)
def test_load_without_measured_event_is_refused(load: Load, seconds: str) -> None:
    problem = load.unmeasured()
    assert problem is not None
    assert problem.startswith(f"--seconds must be at least {seconds}: ")
    enough = msgspec.structs.replace(load, seconds=float(seconds))
    assert enough.unmeasured() is None
    last = (enough.events_per_publisher or 0) - 1
    assert enough.due_at(0, last) >= enough.warm_up * 1e9
    assert Load().unmeasured() is None


# ----------------------------------------------------------------------------------- settings


def test_settings_are_applied() -> None:
    text = '[store.n]\ntype="nats"\naddress="localhost"\n[cluster]\ncoordinator="n"'
    settings = dict(
        map(parse_setting, ("capacity.client=7", "capacity.batch-bytes=64KB", "max-age=2m"))
    )
    config = apply_settings(fastcoord.parse_config(text), settings)
    assert config.nats.capacity.client == 7
    assert config.nats.capacity.batch_bytes == 65536
    assert config.cluster.max_age == 120
    assert config.nats.capacity.subscription == default_settings()["capacity.subscription"]


@pytest.mark.parametrize("word", ["capacity.client", "capacity.clients=4", "address=x"])
def test_unknown_setting_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"capacity\.client"):
        parse_setting(word)


@pytest.mark.parametrize("word", ["capacity.client=0", "capacity.batch-bytes=1", "pace=soon"])
def test_bad_value_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        parse_setting(word)


# --------------------------------------------------------------------------------- objectives


def test_objectives_are_parsed() -> None:
    first, second, third = parse_objectives("p99.9<=5ms, missed=0,events/s>1000")
    assert (first.name, first.operator, first.value) == ("p99.9", "<=", 5.0)
    assert second.is_met(0)
    assert not second.is_met(1)
    assert third.is_met(1001)


@pytest.mark.parametrize("text", ["", "p98<5ms", "p99<5", "missed=0ms", "p99~5ms", "p99<5ms,"])
def test_bad_objective_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"p9|missed|''"):
        parse_objectives(text)


def test_limits_are_parsed() -> None:
    assert parse_limit("p99:10%") == ("p99", 10.0)
    assert parse_limit("events/s:2.5") == ("events/s", 2.5)
    with pytest.raises(ValueError, match="is not a limit"):
        parse_limit("p99=10%")
