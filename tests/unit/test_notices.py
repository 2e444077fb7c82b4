"""Kinds and notices of a subscription without a node, and folding of notices."""

from __future__ import annotations

from typing import Any

import pytest

from fastcoord import (
    AppEvent,
    Disconnected,
    DuplicateNodeId,
    Event,
    Missed,
    Notice,
    PeerDown,
    PeerUp,
    Reconnected,
    StateChange,
    UnsupportedEvent,
)
from fastcoord.receiving.notices import fold, split_kinds
from support.receiving.subscription_harness import SubscriptionHarness as Harness


def change(number: int) -> StateChange:
    return StateChange(1, number, 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [Missed(1, 1, "gap")]),
        ({"peers": True}, [PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)]),
        ({"kinds": PeerUp}, [PeerUp(1), Missed(1, 1, "gap")]),
        ({"kinds": [Missed]}, [Missed(1, 1, "gap")]),
        ({"kinds": [StateChange, PeerDown]}, [Missed(1, 1, "gap"), PeerDown(1, True)]),
    ],
)
def test_peer_notices_are_opt_in(options: dict[str, Any], expected: list[Notice]) -> None:
    harness = Harness(**options)
    for notice in (PeerUp(1), Missed(1, 1, "gap"), PeerDown(1, True)):
        harness.consumer.ring.put_notice(notice)
    reported = []
    while (notice := harness.consumer.ring.take_next()) is not None:
        reported.append(notice)
    assert reported == expected


def test_unknown_overflow_is_refused() -> None:
    with pytest.raises(ValueError, match='"drop-oldest" or "drop-newest", not \'block\''):
        Harness(overflow="block")  # type: ignore[arg-type]


def test_notice_kinds_filter_all_events() -> None:
    harness = Harness(kinds=[PeerDown])
    harness.put(change(1), change(2))
    harness.consumer.ring.put_notice(PeerDown(7, True))
    assert harness.consumer.take_event() == PeerDown(7, True)
    assert harness.consumer.take_event() is None
    assert harness.subscription.stats().filtered == 2
    harness.assert_sum()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([StateChange(1, 2, 3)], r"not the event StateChange\(.*\): write kinds=\[StateChange\]"),
        (StateChange(1, 2, 3), r"a list of event classes, not the event .*kinds=\[StateChange\]"),
        ([Missed(1, 2, "gap")], r"write kinds=\[Missed\]"),
        ("StateChange", r"such as kinds=\[StateChange\], not 'StateChange'"),
        (["StateChange"], r"such as kinds=\[StateChange\], not 'StateChange'"),
        ([None], r"such as kinds=\[StateChange\], not None"),
    ],
)
def test_wrong_kinds_are_named(kinds: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Harness(kinds=kinds)


def test_kinds_of_other_protocols_are_named() -> None:
    with pytest.raises(UnsupportedEvent, match=r"AppEvent in kinds .* fastcoord-1 has it"):
        Harness(kinds=[StateChange, AppEvent])
    Harness(kinds=[Event])


@pytest.mark.parametrize(
    ("options", "delivered"),
    [
        ({}, []),
        ({"connection": True}, [Disconnected("cut"), Reconnected("a:1")]),
        ({"kinds": [Reconnected]}, [Reconnected("a:1")]),
        ({"peers": True}, []),
    ],
)
def test_connection_notices_are_optional(options: dict[str, Any], delivered: list[Notice]) -> None:
    harness = Harness(**options)
    for notice in (Disconnected("cut"), Reconnected("a:1")):
        harness.ring.put_notice(notice)
    taken = []
    while (notice := harness.ring.take_next()) is not None:
        taken.append(notice)
    assert taken == delivered


def test_connection_is_a_bool() -> None:
    with pytest.raises(TypeError, match="connection must be True or False, not int"):
        Harness(connection=1)


def test_last_connection_state_is_kept() -> None:
    assert folded(Disconnected("cut"), Reconnected("a:1"), Disconnected("reset")) == [
        Disconnected("reset")
    ]


def test_empty_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="kinds is empty"):
        Harness(kinds=[])


def test_peers_must_be_boolean() -> None:
    with pytest.raises(TypeError, match="peers must be True or False, not list"):
        Harness(peers=[6])  # type: ignore[arg-type]


def test_kinds_split_events_and_notices() -> None:
    assert split_kinds(None) == (None, [])
    assert split_kinds([StateChange, PeerUp]) == ([StateChange], [PeerUp])
    assert split_kinds(kind for kind in (PeerUp,)) == ([], [PeerUp])


# ---------------------------------------------------------------------------------- folding


def folded(*notices: Any) -> list[Notice]:
    carried: dict[object, Notice] = {}
    for notice in notices:
        fold(carried, notice)
    return list(carried.values())


def test_losses_fold_by_node_and_cause() -> None:
    assert folded(
        Missed(1, 2, "gap"), Missed(2, 3, "gap"), Missed(1, 4, "gap"), Missed(1, 5, "discarded")
    ) == [Missed(1, 6, "gap"), Missed(2, 3, "gap"), Missed(1, 5, "discarded")]


def test_unknown_loss_makes_sum_unknown() -> None:
    for losses in ((None, 4), (4, None), (None, None)):
        missed = [Missed(1, events, "gap") for events in losses]
        assert folded(*missed) == [Missed(1, None, "gap")]


def test_overflows_fold_by_node() -> None:
    assert folded({1: 2, 2: 3}, {2: 4}, Missed(1, 5, "overflow")) == [
        Missed(1, 7, "overflow"),
        Missed(2, 7, "overflow"),
    ]


def test_last_peer_notice_wins() -> None:
    assert folded(PeerUp(1), PeerUp(2), PeerDown(1, False), PeerUp(1), PeerDown(2, True)) == [
        PeerUp(1),
        PeerDown(2, True),
    ]


def test_duplicate_id_is_reported_once() -> None:
    assert folded(DuplicateNodeId(1), DuplicateNodeId(1), DuplicateNodeId(2)) == [
        DuplicateNodeId(1),
        DuplicateNodeId(2),
    ]


def test_disconnect_is_reported_once() -> None:
    absence = Missed(None, None, "disconnect")
    assert folded(absence, absence) == [absence]


def test_other_notices_are_kept() -> None:
    class Other(Notice, frozen=True):
        pass

    assert folded(Other(), Other()) == [Other(), Other()]
