"""The arithmetic of ``fastcoord tune`` and its page."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

import fastcoord
from fastcoord.cli import main
from fastcoord.cli.arguments import build_parser
from fastcoord.cli.tune_text import advice_lines, needs_lines
from fastcoord.config import parse_config
from fastcoord.config._model import HIGHEST_NODE_ID
from fastcoord.tuning.advice import arithmetic_advice, toml_block
from fastcoord.tuning.event_data import event_sizes
from fastcoord.tuning.load import Load, default_settings
from fastcoord.tuning.sizing import (
    MESSAGE_BYTES,
    memory_bound,
    memory_text,
    needs,
    rounded_up,
    size_up,
)
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


def test_longest_node_id_is_counted() -> None:
    bare = fastcoord.encode_batch([], node_id=HIGHEST_NODE_ID, protocol="fastcoord-1")
    assert len(bare) == MESSAGE_BYTES
    with pytest.raises(ValueError, match=f"from 0 to {HIGHEST_NODE_ID}"):
        fastcoord.encode_batch([], node_id=HIGHEST_NODE_ID + 1, protocol="fastcoord-1")


@pytest.mark.parametrize(("change_id", "more"), [(3_000_000, 0), (1 << 28, 1), (2**64 - 1, 6)])
def test_documented_event_size_is_right(change_id: int, more: int) -> None:
    event = fastcoord.StateChange(1000, change_id, fastcoord.DataType.EMAIL)
    size = len(fastcoord.encode_batch([event], node_id=0, protocol="fastcoord-1")) - 1
    typical = event_sizes({"StateChange": 1}, 0, "fastcoord-1")
    assert size == min(typical) + 1 + more
    assert 8 <= sum(typical) / len(typical) <= 9
    for payload in (8, 40, 200, 20_000, 60_000_000):
        sizes = event_sizes({"AppEvent": 1}, payload, "fastcoord-1")
        assert {each - payload for each in sizes} <= {3, 4, 5, 6, 7}
        event = fastcoord.AppEvent(500, bytes(payload))
        bare = fastcoord.encode_batch([event], node_id=0, protocol="fastcoord-1")
        assert len(bare) - 1 == max(sizes)


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
        timeout=240,
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
    assert memory_text(advice["memory"]) in text.partition("The memory bound")[2]


def test_arithmetic_has_names_of_page() -> None:
    formulas = PAGE.read_text("utf-8").partition("## The formulas")[2].partition("\n\n|")[2]
    names = re.findall(r"^\| \**([a-z][a-z-]*)\** \|", formulas.partition("\n\n")[0], re.M)
    load = workload(stall=1.0, outage=2.0)
    lines = needs_lines(load, size_up(load, default_settings()))
    assert [line.split()[0] for line in lines[1:]] == names


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--memory", "1"), "from 1048576 to"),
        (("--objective", "p99<1ms"), "--objective is reached by measured runs"),
    ],
)
def test_arithmetic_refuses_option(
    words: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--arithmetic", "--rate", "100", *words]) == 2
    assert problem in capsys.readouterr().err


def test_memory_is_rounded_up() -> None:
    advice = arithmetic_advice(
        default_settings(), size_up(workload(stall=1.0), default_settings()), "nats"
    )
    assert 101 < advice.memory / 2**20 < 101.5
    assert "at most 102 MB." in "\n".join(advice_lines(workload(stall=1.0), advice))


@pytest.mark.parametrize("page", ["sizing.md", "performance.md"])
def test_commands_of_page_parse(page: str) -> None:
    text = PAGE.with_name(page).read_text("utf-8")
    commands = re.findall(r"^`?(fastcoord (?:bench|tune)\b[^`\n]*)`?$", text, re.M)
    assert commands
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        build_parser(words).parse_args(words)


def test_default_memory_is_documented() -> None:
    assert f"{memory_text(memory_bound(default_settings()))} with the defaults" in (
        PAGE.read_text("utf-8")
    )
