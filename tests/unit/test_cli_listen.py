"""The lines of ``fastcoord listen`` for events and notices."""

import json
import re

import pytest

from fastcoord import (
    Disconnected,
    DuplicateNodeId,
    Missed,
    Notice,
    PeerDown,
    PeerUp,
    ProtocolMismatch,
    Reconnected,
)
from fastcoord.cli.listen import Writer

NOTICES = [
    (PeerUp(2), "node 2  PeerUp"),
    (PeerDown(2, goodbye=True), "node 2  PeerDown goodbye=true"),
    (Missed(2, 3, "gap"), "node 2  Missed events=3 cause=gap"),
    (Missed(None, None, "disconnect"), "all nodes  Missed cause=disconnect"),
    (Missed(4, 0, "retention", 9), "node 4  Missed events=0 cause=retention messages=9"),
    (Disconnected("no PONG"), "this node  Disconnected reason='no PONG'"),
    (Reconnected("nats1:4222"), "this node  Reconnected server=nats1:4222"),
    (DuplicateNodeId(3), "node 3  DuplicateNodeId"),
    (ProtocolMismatch(3, "stalwart-0.16"), "node 3  ProtocolMismatch protocol=stalwart-0.16"),
]


def test_each_notice_is_listed() -> None:
    assert {type(notice) for notice, _ in NOTICES} == set(Notice.__subclasses__())


@pytest.mark.parametrize(("notice", "text"), NOTICES)
def test_notice_has_form_of_events(
    notice: Notice, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Writer(as_json=False, nodes=None).item(notice)
    line = capsys.readouterr().out
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  " + re.escape(text), line.rstrip("\n"))


@pytest.mark.parametrize("notice", [notice for notice, _ in NOTICES])
def test_notice_has_keys_of_events(notice: Notice, capsys: pytest.CaptureFixture[str]) -> None:
    Writer(as_json=True, nodes=None).item(notice)
    line = json.loads(capsys.readouterr().out)
    assert list(line)[:3] == ["received_at", "node_id", "type"]
    assert line["type"] == type(notice).__name__
    assert line["node_id"] == getattr(notice, "node_id", None)
    assert {name: line[name] for name in notice.__struct_fields__ if name != "node_id"} == {
        name: getattr(notice, name) for name in notice.__struct_fields__ if name != "node_id"
    }
