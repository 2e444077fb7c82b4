"""The demo's parts: events, counting, sums and tables."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import fastcoord
from fastcoord.cli.demo.cluster import config_text
from fastcoord.cli.demo.events import EventMix
from fastcoord.cli.demo.messages import NodeReport, NodeTask, Order, Totals
from fastcoord.cli.demo.node import Tally
from fastcoord.cli.demo.sums import add_up
from fastcoord.cli.demo.views import PlainView, RichView, live_table, make_view
from fastcoord.config import PROTOCOLS, parse_config
from fastcoord.events import Missed, PeerUp

TASK = NodeTask(config="", node_id=1, node_ids=(1, 2, 3), seed=1, rate=1, seconds=1.0)

CONFIG = """
[store."nats"]
type = "nats"
address = "127.0.0.1:1"
user = "node"
password = "hunter2"

[cluster]
coordinator = "nats"
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_seed_repeats_events(protocol: str) -> None:
    first, again = (EventMix(1, 2, protocol).take(500) for _ in range(2))
    assert first == again
    assert first != EventMix(1, 3, protocol).take(500)
    assert first != EventMix(2, 2, protocol).take(500)
    assert len({type(event) for event in first}) == 4
    payload = fastcoord.encode_batch(first, node_id=2, protocol=protocol)
    assert list(fastcoord.decode_batch(payload, protocol=protocol)) == first


def test_skipping_equals_taking() -> None:
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


def test_correct_sums_are_accepted() -> None:
    summary = add_up(two_nodes())
    assert summary.problems == ()
    assert "30 events were published and 30 received" in summary.verdict
    assert "none is missing" in summary.verdict
    assert summary.tables[0].rows[0] == ("node 1", "node 2", "20", "20", "0", "adds up")
    assert [len(table.rows) for table in summary.tables] == [2, 2, 2]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"received": {1: 9}}, "events from node 1 to node 2: the sum of the parts is 1 too low"),
        ({"received": {1: 11}}, "events from node 1 to node 2: the sum of the parts is 1 too high"),
        ({"received": {1: 7}, "missed": {1: {"gap": 2, "overflow": 1}}},
         "node 2 missed 3 events of node 1 (gap 2, overflow 1)"),
        ({"wrong": 4}, "node 2 received 4 events that differ from those published"),
        ({"unattributed": 1}, "node 2 missed an unknown number of events"),
        ({"totals": totals(20, 10, confirmed=19)}, "node 2 as sender: the sum of the parts is 1"),
        ({"totals": totals(20, 10, confirmed=19, waiting=1)}, "of which 19 are confirmed"),
        ({"totals": totals(20, 10, delivered=9)}, "the subscription of node 2: the sum"),
    ],
)  # fmt: skip
def test_wrong_sums_are_problems(change: dict[str, object], problem: str) -> None:
    summary = add_up(two_nodes(**change))
    assert any(problem in each for each in summary.problems)
    assert "none is missing" not in summary.verdict


def test_expected_losses_are_shown() -> None:
    change = {"received": {1: 7}, "missed": {1: {"gap": 2, "overflow": 1}}, "unattributed": 1}
    summary = add_up(two_nodes(**change), is_loss_expected=True)
    assert summary.problems == ()
    assert summary.tables[-1].rows == (
        ("node 1", "none", "0"),
        ("node 2", "gap 2, overflow 1", "1"),
    )
    assert "3 are reported as missing, the others arrived once and in order" in summary.verdict
    wrong = add_up(two_nodes(**change | {"received": {1: 6}}), is_loss_expected=True)
    assert len(wrong.problems) == 1


def test_plain_table_aligns_columns(capsys: pytest.CaptureFixture[str]) -> None:
    PlainView().table(add_up(two_nodes()).tables[1])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Every sender: accepted = confirmed + waiting + discarded",
        "  sender  accepted  confirmed  waiting  discarded  sum",
        "  node 1        10         10        0          0  adds up",
        "  node 2        20         20        0          0  adds up",
    ]


@pytest.mark.parametrize(
    ("is_terminal", "has_rich", "plain", "kind"),
    [
        (True, True, False, RichView),
        (True, True, True, PlainView),
        (True, False, False, PlainView),
        (False, True, False, PlainView),
    ],
)
def test_view_fits_terminal(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, has_rich: bool, plain: bool, kind: type
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    if not has_rich:
        monkeypatch.setitem(sys.modules, "rich", None)
    assert type(make_view(plain=plain)) is kind


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_variable_selects_plain_view(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv(name, value)
    assert type(make_view(plain=False)) is PlainView


def test_live_table_shows_counts() -> None:
    table = live_table(two_nodes(missed={1: {"gap": 2}}))
    assert table.columns == ("node", "phase", "sent", "from 1", "from 2", "missed")
    assert table.rows == (
        ("node 1", "done", "10", "", "20", "0"),
        ("node 2", "done", "20", "10", "", "2"),
    )


def test_demo_node_explains_missing_server(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(CONFIG)
    task = NodeTask(config=str(config), node_id=1, node_ids=(1, 2), seed=1, rate=1, seconds=1.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcoord.cli.demo.node", msgspec.json.encode(task).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        error = process.stderr.read()
        assert process.wait(timeout=120) == 1
    assert error.startswith("ConnectError: ")
    assert "127.0.0.1:1" in error
    assert "hunter2" not in error


@pytest.mark.parametrize("has_stream", [False, True])
def test_guest_gets_free_id(has_stream: bool) -> None:
    config = parse_config(config_text("127.0.0.1:4222", "fastcoord-1", has_stream=has_stream))
    assert config.cluster.node_id == "auto"
    assert config.cluster.stream == ("DEMO" if has_stream else None)


def test_demo_messages_survive_encoding() -> None:
    order = Order(action="finish", published={1: 5})
    assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order
    report = two_nodes(missed={1: {"gap": 2}})[2]
    assert msgspec.json.decode(msgspec.json.encode(report), type=NodeReport) == report


def batch(node_id: int, events: list[fastcoord.Event]) -> fastcoord.Batch:
    return fastcoord.Batch(node_id, events)


def test_tally_counts_by_sender() -> None:
    tally, two, three = Tally(TASK, "fastcoord-1"), *(EventMix(1, n, "fastcoord-1") for n in (2, 3))
    tally.add(batch(2, two.take(5)))
    tally.add(PeerUp(3))
    tally.add(batch(3, three.take(1)))
    tally.add(batch(2, two.take(2)))
    tally.add(batch(77, [fastcoord.ReloadSettings()]))
    assert (tally.received, tally.missed, tally.wrong) == ({2: 7, 3: 1}, {}, 0)


@pytest.mark.parametrize("damage", ["lost", "repeated", "altered", "swapped"])
def test_tally_detects_altered_events(damage: str) -> None:
    tally, mix = Tally(TASK, "fastcoord-1"), EventMix(1, 2, "fastcoord-1")
    events = mix.take(6)
    match damage:
        case "lost":
            del events[2]
        case "repeated":
            events.insert(2, events[1])
        case "altered":
            events[2] = fastcoord.ReloadSettings()
        case "swapped":
            events[2], events[3] = events[3], events[2]
    tally.add(batch(2, events))
    assert tally.wrong > 0


def test_tally_skips_missed_events() -> None:
    tally, mix = Tally(TASK, "fastcoord-1"), EventMix(1, 2, "fastcoord-1")
    tally.add(batch(2, mix.take(3)))
    mix.take(4)
    tally.add(Missed(2, 3, "gap"))
    tally.add(Missed(2, 1, "overflow"))
    tally.add(Missed(None, None, "disconnect"))
    tally.add(batch(2, mix.take(2)))
    assert tally.missed == {2: {"gap": 3, "overflow": 1}}
    assert (tally.received[2], tally.unattributed, tally.wrong) == (5, 1, 0)


async def test_tally_waits_for_every_event() -> None:
    tally, mix = Tally(TASK, "fastcoord-1"), EventMix(1, 2, "fastcoord-1")
    waiting = asyncio.create_task(tally.wait_for({1: 99, 2: 5, 3: 0}))
    tally.add(batch(2, mix.take(3)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    tally.add(Missed(2, 2, "gap"))
    await asyncio.wait_for(waiting, 60)
