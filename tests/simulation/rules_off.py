"""Each rule switched off: the simulation must find what then goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastcoord.publishing.sender import Sender
from fastcoord.receiving.own_id_use import OwnIdUse
from fastcoord.receiving.peers import PeerHistory
from fastcoord.receiving.rules import Rules
from fastcoord.receiving.runs import Runs
from fastcoord.receiving.verdict import Verdict
from fastcoord.receiving.verification import Verification
from simulation.bystanders import ForkedChild


def _gap_is_silent(report_missing: Any) -> Any:
    def off(self: Any, peer: Any, history: Any, run: Any) -> None:
        peer.expected, peer.discarded = run.expected, run.discarded

    return off


def _late_is_delivered(judge: Any) -> Any:
    def off(self: Any, peer: Any, history: Any, header: Any, counted: int, intact: bool) -> Any:
        is_late = header.events and header.note is None and header.offset < peer.expected
        if is_late and header.incarnation == peer.incarnation:
            return Verdict(deliver=counted)
        return judge(self, peer, history, header, counted, intact)

    return off


def _resend_is_new(deliver: Any) -> Any:
    def off(self: Any, peer: Any, history: Any, header: Any, counted: int, intact: bool) -> Any:
        if header.offset < peer.expected:
            peer.expected = header.offset
        return deliver(self, peer, history, header, counted, intact)

    return off


def _tail_is_ignored(judge_empty: Any) -> Any:
    def off(self: Any, peer: Any, history: Any, header: Any) -> Any:
        verdict = judge_empty(self, peer, history, header)
        history.tail = None
        return verdict

    return off


def _restart_is_complete(begin: Any) -> Any:
    def off(self: Any, peer: Any, history: Any, incarnation: int) -> None:
        history.said_goodbye = True
        begin(self, peer, history, incarnation)

    return off


def _former_is_new(remember: Any) -> Any:
    def off(self: Any, incarnation: int, run: Any) -> bool:
        return False

    return off


def _any_run_begins_anywhere(begin: Any) -> Any:
    def off(self: Any, peer: Any, history: Any, incarnation: int) -> None:
        begin(self, peer, history, incarnation)
        history.is_begun = False

    return off


def _silence_is_unreported(end_if_silent: Any) -> Any:
    def off(self: Any, peer: Any, history: Any, now: float) -> None:
        history.is_end_reported = True
        end_if_silent(self, peer, history, now)

    return off


def _absence_is_unreported(connected: Any) -> Any:
    def off(self: Any, now: float) -> None:
        self.is_absent = False
        connected(self, now)

    return off


def _word_is_ignored(own_word: Any) -> Any:
    def off(self: Any, *arguments: Any) -> None:
        """Ignore every answer."""

    return off


def _nothing_is_taken_up(take_up: Any) -> Any:
    def off(self: Any, *arguments: Any) -> None:
        """Keep the current run."""

    return off


def _own_id_is_duplicate(received: Any) -> Any:
    def off(self: Any, incarnation: int | None) -> None:
        self.used()

    return off


def _refused_is_sent(refused: Any) -> Any:
    def off(self: Any, reason: Any) -> None:
        self._state.refuse(reason)
        self._is_refused = True

    return off


def _unnumbered_is_dropped(without_header: Any) -> Any:
    def off(self: Any, node_id: int, counted: int, intact: bool) -> Verdict:
        without_header(self, node_id, counted, intact)
        return Verdict()

    return off


def _child_goes_on(forked: Any) -> Any:
    def off(self: Any) -> None:
        """Use the connection of the parent."""

    return off


RULES_OFF: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "3 gaps are not reported": (Runs, "report_missing", _gap_is_silent),
    "4 resends are not skipped": (Rules, "_deliver", _resend_is_new),
    "4 late batches are delivered": (Rules, "_judge", _late_is_delivered),
    "5 tails are ignored": (Rules, "_judge_empty", _tail_is_ignored),
    "6 restarts are not reported": (Runs, "begin", _restart_is_complete),
    "6 former runs are not remembered": (PeerHistory, "remember", _former_is_new),
    "7 every run may begin anywhere": (Runs, "begin", _any_run_begins_anywhere),
    "8 silence is not reported": (Runs, "end_if_silent", _silence_is_unreported),
    "9 absences are not reported": (Rules, "connected", _absence_is_unreported),
    "10 own words are ignored": (Verification, "own_word", _word_is_ignored),
    "10 nothing is taken up": (Verification, "_take_up", _nothing_is_taken_up),
    "11 a message of the own id is a duplicate": (OwnIdUse, "received", _own_id_is_duplicate),
    "12 batches without a header are dropped": (Rules, "without_header", _unnumbered_is_dropped),
    "refused batches count as sent": (Sender, "refused", _refused_is_sent),
    "a forked child goes on": (ForkedChild, "forked", _child_goes_on),
}
"""For each rule: the class and the method that it is switched off in."""


@contextmanager
def switched_off(rule: str) -> Iterator[None]:
    """Switch a rule off."""
    owner, name, make = RULES_OFF[rule]
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
