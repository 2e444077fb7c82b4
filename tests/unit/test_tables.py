"""Tables that fit into narrow terminals."""

import io
import re
import time

import pytest
from msgspec import structs

from fastcoord.cli.outputs import print_lines
from fastcoord.cli.peers import COLUMNS, Row, _ago, _milliseconds, _print_table, _table, _unknown
from fastcoord.cli.tables import LiveTable, plain_lines
from fastcoord.stats import Peer

pytest.importorskip("rich")

PEER = Peer(
    node_id=65535,
    incarnation=5,
    is_up=None,
    last_heard=0.0,
    received=1_234_567,
    missed=12_345,
    round_trip=0.1234,
)


def drawn(rows: list[Row], width: int) -> list[str]:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width)
    console.print(LiveTable(_table(rows)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_pipe_gets_one_line_for_each_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("COLUMNS", "FORCE_COLOR"):
        monkeypatch.setenv(variable, "40")
    _print_table([Row(node_id, PEER, "stalwart-0.15") for node_id in (1, 2)])
    print_lines(["word " * 40])
    assert [len(line) > 40 for line in capsys.readouterr().out.splitlines()] == [True] * 4


def test_peers_fit_80_columns() -> None:
    *_, names, row = drawn([Row(65535, PEER, "stalwart-0.15")], 80)
    assert names.split() == [
        "node",
        "kind",
        "state",
        "received",
        "missed",
        "received",
        "trip",
        "protocol",
    ]
    assert row.split()[:5] == ["65535", "fastcoord", "unknown", "1,234,567", "12,345"]
    assert row.split()[-3:] == ["123", "ms", "stalwart-0.15"]


def test_other_protocol_fits_80_columns() -> None:
    rows = [Row(5, None, "stalwart-0.16"), Row(65535, PEER, "stalwart-0.15")]
    *_, names, other, row = drawn(rows, 80)
    assert "kind" not in names
    assert other.split() == ["5", "unreadable", "stalwart-0.16"]
    assert row.split()[-1] == "stalwart-0.15"


def test_other_protocol_is_plain_line() -> None:
    rows = [Row(5, None, "stalwart-0.16"), Row(65535, PEER, "stalwart-0.15")]
    _, other, row = plain_lines(_table(rows))
    assert re.fullmatch(r"    5  fastcoord  unreadable +stalwart-0\.16", other)
    assert row.startswith("65535  fastcoord  unknown     1,234,567  12,345")


def test_lost_connection_hides_states(capsys: pytest.CaptureFixture[str]) -> None:
    peers = [structs.replace(PEER, node_id=node_id, is_up=node_id == 1) for node_id in (1, 2)]
    rows = _unknown([*(Row(peer.node_id, peer, None) for peer in peers), Row(5, None, None)])
    lost_at = time.mktime((2026, 5, 4, 3, 2, 1, 0, 0, -1))
    _print_table(rows, lost_at)
    title, _, first, second, third = capsys.readouterr().out.splitlines()
    assert title == "not connected since 03:02:01: states are unknown"
    assert first.split()[2] == second.split()[2] == "unknown"
    assert " ms" not in first + second
    assert third.split()[2] == "unreadable"
    assert _table(rows, lost_at).wrong == {2}


def test_wide_terminal_shows_borders() -> None:
    lines = drawn([Row(65535, PEER, "stalwart-0.15")], 100)
    assert len(lines) == 5
    assert all(name in lines[1] for name in COLUMNS)


def test_narrow_terminal_shows_whole_columns() -> None:
    row = drawn([Row(65535, PEER, "stalwart-0.15")], 44)[3]
    assert row.split() == ["│", "65535", "│", "fastcoord", "│", "unknown", "│", "1,234,567", "│"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s ago"),
        (9.0, "9.0 s ago"),
        (42.3, "42 s ago"),
        (240.0, "4 min ago"),
        (7_200.0, "2 h ago"),
        (864_000.0, "10 d ago"),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert _ago(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12 ms"), (12.34, "12.3 ms"), (123.4, "123 ms")]
)
def test_round_trip_has_three_digits(value: float, text: str) -> None:
    assert _milliseconds(value) == text
