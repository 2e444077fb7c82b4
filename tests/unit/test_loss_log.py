"""The log lines about lost events: their number, their reason, and at most one line a minute."""

from __future__ import annotations

import logging

import pytest

from fastcoord import Missed
from fastcoord.reporting.loss_log import LossLog


def test_known_number_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    LossLog("node 1").note(Missed(7, 3, "gap"))
    assert caplog.messages == ["node 1: 3 events missed (gap)"]


def test_unknown_number_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    LossLog("node 1").note(Missed(None, None, "disconnect"))
    assert caplog.messages == ["node 1: an unknown number of events missed (disconnect)"]


def test_suppressed_losses_are_summed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = LossLog("node 1")
    for missed in (Missed(7, 1, "gap"), Missed(7, 3, "gap"), Missed(8, None, "gap")):
        losses.note(missed)
    monkeypatch.setattr("fastcoord.reporting.loss_log.SECONDS_BETWEEN_LINES", 0.0)
    losses.report(0)
    losses.report(0)
    assert caplog.messages == [
        "node 1: 1 events missed (gap)",
        "node 1: at least 3 events missed (gap)",
    ]


def test_discards_are_summed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = LossLog("node 1")
    for events in (2, 0, 3, 4):
        losses.discarded(events, "expired", "too old")
    losses.discarded(1, "large", "too large", logging.ERROR)
    losses.report(0)
    monkeypatch.setattr("fastcoord.reporting.loss_log.SECONDS_BETWEEN_LINES", 0.0)
    losses.report(0)
    losses.report(0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "node 1: 2 events discarded: too old"),
        ("ERROR", "node 1: 1 events discarded: too large"),
        ("WARNING", "node 1: 7 events discarded: too old"),
    ]
