"""Forged messages with many ids and runs cost a bounded amount of memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fastcoord import Missed, Notice, PeerDown
from fastcoord.receiving import peers
from fastcoord.receiving.notices import MAX_FOLDED, fold
from fastcoord.receiving.peers import MAX_FORMER_RUNS, MAX_PEERS
from support.receiving.receiving_side import HEARTBEAT, SENDER, ReceivingSide


def few_peers(monkeypatch: pytest.MonkeyPatch, peer_count: int) -> None:
    monkeypatch.setattr(peers, "MAX_PEERS", peer_count)
    monkeypatch.setattr(peers, "FORGOTTEN_AT_ONCE", 1)


def test_invented_ids_stay_bounded() -> None:
    receiver = ReceivingSide()
    for node_id in range(100, 100 + 2 * MAX_PEERS):
        receiver.receive(0, 0, node_id=node_id)
    assert len(receiver.receiver.peers) <= MAX_PEERS
    assert receiver.rules.forgotten >= MAX_PEERS


def test_known_peer_outlives_invented_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    few_peers(monkeypatch, 8)
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.now += HEARTBEAT
    receiver.receive(1, 1)
    receiver.now += HEARTBEAT
    for node_id in range(100, 200):
        receiver.receive(0, 1, node_id=node_id)
    assert receiver.receive(3, 1) == [Missed(SENDER, 1, "gap"), 3]


def test_forgotten_peer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    few_peers(monkeypatch, 4)
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    for node_id in range(100, 104):
        receiver.now += 0.1
        receiver.receive(0, 1, node_id=node_id)
    assert SENDER not in receiver.receiver.peers
    assert Missed(SENDER, None, "gap") in receiver.receive(7, 1)
    assert receiver.receive(8, 1) == [8]


def test_forgotten_peer_goes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    few_peers(monkeypatch, 1)
    receiver = ReceivingSide(peers=True)
    receiver.receive(0, 1)
    assert receiver.receive(0, 1, node_id=100)[0] == PeerDown(SENDER, False)


def test_forgotten_peer_leaves_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    few_peers(monkeypatch, 1)
    receiver = ReceivingSide()
    receiver.receive(0, 1)
    receiver.receiver.forget(SENDER)
    assert receiver.receive(1, 1) == [Missed(SENDER, 1, "gap"), 1]


def test_invented_runs_stay_bounded() -> None:
    receiver = ReceivingSide()
    for incarnation in range(1, 1000):
        receiver.receive(0, 1, incarnation=incarnation)
    assert len(receiver.receiver.peers[SENDER].history.former) == MAX_FORMER_RUNS


def test_roster_forgets_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    few_peers(monkeypatch, 4)
    receiver = ReceivingSide(settled=False)
    receiver.receive(0, 1)
    receiver.rules.join.roster([(node_id, 1) for node_id in range(100, 200)])
    assert len(receiver.receiver.peers) == 4
    assert receiver.receive(1, 1) == [1]


def test_losses_of_many_nodes_are_merged() -> None:
    carried: dict[object, Notice] = {}
    notices: list[Notice | Mapping[int | None, int | None]] = [
        Missed(node_id, 1, "gap") for node_id in range(10_000)
    ]
    for notice in notices:
        fold(carried, notice)
    values: list[Any] = list(carried.values())
    assert len(values) == MAX_FOLDED + 1
    assert values[-1] == Missed(None, None, "gap")
    assert sum(each.events or 0 for each in values) == MAX_FOLDED
