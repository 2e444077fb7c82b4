"""The logic of questions, answers, heartbeats and pace, with the time and chance handed in."""

from __future__ import annotations

import logging
import random

import pytest

from fastcoord.presence.answers import MAX_ROSTER, Answers, read_roster
from fastcoord.presence.heartbeats import MAX_SKIPPED, Heartbeats, heartbeat_interval
from fastcoord.presence.progress import JoinOffsets, Progress
from fastcoord.presence.question_line import EVERYBODY, MAX_NUMBERS, read_line, write_line
from fastcoord.presence.token_bucket import TokenBucket
from fastcoord.presence.verifications import MAX_OPEN, Verifications
from fastcoord.publishing.pace import DEFAULT_PACE, SECONDS_PER_EVENT, SECONDS_PRESENT, Pace
from fastcoord.reporting.log_limit import LINES_PER_MINUTE, LogLimit

NODE, ASKER, TOKEN = 7, 3, 12345


def block(line: bytes) -> bytes:
    return b"NATS/1.0\r\nF:1bw1.0\r\nQ:" + line + b"\r\n\r\n"


# -------------------------------------------------------------------------------------- the line


@pytest.mark.parametrize(
    "numbers", [(0, 0), (63, 64), (2**64 - 1, 65_536, 0, 2**64 - 1), tuple(range(MAX_NUMBERS))]
)
def test_written_line_is_read(numbers: tuple[int, ...]) -> None:
    assert read_line(block(write_line(numbers))) == numbers


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1",
        b"1.",
        b".1",
        b"1..2",
        b"1.?",
        b"1.\xff",
        b"1.2 3",
        b"1." + b"0" * 12,
        b"1.G0000000000",
        b".".join([b"1"] * (MAX_NUMBERS + 1)),
        b"1." + b"1" * 100_000,
    ],
)
def test_malformed_line_is_ignored(line: bytes) -> None:
    assert read_line(block(line)) is None


def test_block_without_line_is_ignored() -> None:
    assert read_line(b"NATS/1.0\r\nF:1bw1.0\r\n\r\n") is None
    assert read_line(b"NATS/1.0\r\nF:1bw1.0\r\nQ:1.2") is None


# --------------------------------------------------------------------------------------- answers


def hello(wanted: int) -> tuple[int, ...]:
    return (TOKEN, EVERYBODY, wanted)


def roster_of(count: int) -> list[tuple[int, int]]:
    return [(number, number + 1000) for number in range(count)]


@pytest.mark.parametrize(("peers", "least", "most"), [(1, 200, 200), (4, 200, 200), (40, 5, 40)])
def test_few_peers_answer_hello(peers: int, least: int, most: int) -> None:
    answers = Answers(NODE, chance=random.Random(1), bucket=TokenBucket(1000, 1000))
    made = [answers.to_hello(ASKER, hello(4), list, peers, 0.0) for _ in range(200)]
    assert least <= sum(each is not None for each in made) <= most


def test_everybody_answers_last_hello() -> None:
    answers = Answers(NODE, chance=random.Random(1))
    assert answers.to_hello(ASKER, hello(0), list, 60_000, 0.0) == (TOKEN, ASKER)


def test_hello_is_answered_with_roster() -> None:
    answers = Answers(NODE)
    answer = answers.to_hello(ASKER, hello(4), lambda: roster_of(2), 2, 0.0)
    assert answer == (TOKEN, ASKER, 0, 1000, 1, 1001)
    assert read_roster(answer) == roster_of(2)


def test_roster_is_bounded() -> None:
    answers = Answers(NODE)
    answer = answers.to_hello(ASKER, hello(0), lambda: roster_of(5000), 5000, 0.0)
    assert answer is not None
    assert len(set(read_roster(answer))) == MAX_ROSTER
    assert read_line(block(write_line(answer))) == answer


def test_forged_roster_has_no_invalid_id() -> None:
    assert read_roster((TOKEN, NODE, 1, 2, 70_000, 4, 5)) == [(1, 2)]


def test_only_asked_node_answers() -> None:
    answers = Answers(NODE)
    assert answers.to_who(ASKER, (TOKEN, NODE), 0.0) == (TOKEN, ASKER)
    assert answers.to_who(ASKER, (TOKEN, NODE + 1), 0.0) is None
    received = (10, 2, 0)
    assert answers.to_progress(ASKER, (TOKEN, EVERYBODY, 9), received, 0.0) == (
        TOKEN,
        ASKER,
        *received,
    )
    assert answers.to_progress(ASKER, (TOKEN, EVERYBODY, 9, NODE), received, 0.0) is not None
    assert answers.to_progress(ASKER, (TOKEN, EVERYBODY, 9, 8), received, 0.0) is None
    assert answers.to_progress(ASKER, (TOKEN, EVERYBODY, 9), None, 0.0) is None
    assert answers.to_progress(ASKER, (TOKEN, NODE, 9), received, 0.0) is None


def test_flood_of_questions_is_limited() -> None:
    answers = Answers(NODE)
    made = sum(
        answers.to_who(ASKER, (TOKEN, NODE), index / 10_000) is not None for index in range(20_000)
    )
    assert made == 200 + 2 * 50 - 1
    assert answers.refused == 20_000 - made


# --------------------------------------------------------------------------------- verifications


class Asked:
    def __init__(self) -> None:
        self.asked: list[int] = []
        self.verifications = Verifications(2.0, self.ask)

    def ask(self, node_id: int) -> int:
        self.asked.append(node_id)
        return 1000 + len(self.asked)


def test_node_is_asked_once_a_heartbeat() -> None:
    asked = Asked()
    assert asked.verifications.request(5, 0.0)
    for index in range(1000):
        assert not asked.verifications.request(5, index / 1000)
    asked.verifications.tick(1.9)
    assert not asked.verifications.request(5, 1.9)
    assert asked.asked == [5]
    asked.verifications.tick(2.0)
    assert asked.verifications.request(5, 2.0)
    assert asked.asked == [5, 5]
    assert not asked.verifications.answered(5, 1001)
    assert asked.verifications.answered(5, 1002)
    assert asked.verifications.answered(5, 1002)
    asked.verifications.tick(4.0)
    assert not asked.verifications.answered(5, 1002)


def test_questions_under_way_are_bounded() -> None:
    asked = Asked()
    for node_id in range(65_536):
        asked.verifications.request(node_id, 0.0)
    assert len(asked.asked) == MAX_OPEN
    assert asked.verifications.refused == 65_536 - MAX_OPEN


# ------------------------------------------------------------------------------------ heartbeats


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 2.0), (400, 2.0), (1000, 5.0), (20_000, 100.0)])
def test_heartbeats_stretch_with_nodes(nodes: int, seconds: float) -> None:
    assert heartbeat_interval(2.0, nodes) == seconds


def test_idle_node_beats_each_interval() -> None:
    heartbeats = Heartbeats(2.0)
    heartbeats.resize(1000)
    heartbeats.sent(0.0)
    due = [tick for tick in range(1, 12) if heartbeats.is_due(0.0, float(tick))]
    assert due[0] == 5


def test_events_replace_heartbeats_for_a_while() -> None:
    heartbeats = Heartbeats(2.0)
    heartbeats.sent(0.0)
    due = [now for now in range(1, 100) if heartbeats.is_due(now - 0.1, float(now))]
    assert due[0] == 2 * MAX_SKIPPED


# -------------------------------------------------------------------------- flush(peers=True)


def test_peers_with_all_events_are_confirmed() -> None:
    progress = Progress(10, 20, [1, 2, 3])
    progress.answered(1, 20, 0, 0, 0)
    progress.answered(2, 19, 0, 0, 0)
    assert progress.missing == {2, 3}
    progress.answered(2, 25, 10, 0, 0)
    progress.answered(4, 25, 0, 0, 0)
    progress.leave(3)
    assert progress.is_decided
    assert (progress.confirmed, progress.missing) == ({1, 2}, frozenset())


def test_gap_in_interval_is_missing() -> None:
    progress = Progress(10, 20, [1])
    progress.answered(1, 20, 11, 0, 0)
    assert progress.is_decided
    assert progress.missing == {1}


def test_late_beginning_is_missing_unless_joined() -> None:
    progress = Progress(10, 20, [1, 2])
    progress.answered(1, 20, 0, 15, 0)
    progress.answered(2, 20, 15, 15, 16)
    assert (progress.missing, progress.confirmed) == ({1}, {2})


def test_join_offset_belongs_to_run() -> None:
    joined = JoinOffsets()
    joined.note(1, 100, 5)
    joined.note(1, 100, 9)
    assert joined.of(1, 100) == 5
    assert joined.of(1, 101) == 0
    joined.note(1, 101, 9)
    assert (joined.of(1, 100), joined.of(1, 101)) == (0, 9)
    assert joined.of(2, 1) == 0


def test_join_offsets_are_bounded() -> None:
    joined = JoinOffsets()
    for node_id in range(65_536):
        joined.note(node_id, 1, 1)
    assert len(joined._joined) == 8192


# ------------------------------------------------------------------------------------------ pace


def test_pace_begins_and_ends_with_stalwart() -> None:
    pace = Pace(None, "stalwart-0.15")
    assert not pace.update(None, 0.0)
    assert not pace.is_on
    assert pace.update(5.0, 5.0)
    assert not pace.update(5.0, 6.0)
    assert (pace.is_on, pace.seconds) == (True, DEFAULT_PACE)
    pace.update(5.0, 5.0 + SECONDS_PRESENT)
    assert pace.is_on
    pace.update(5.0, 6.0 + SECONDS_PRESENT)
    assert (pace.is_on, pace.seconds) == (False, 0.0)


@pytest.mark.parametrize("protocol", ["stalwart-0.16", "stalwart-1.0", "fastcoord-1"])
def test_only_older_stalwart_is_paced(protocol: str) -> None:
    pace = Pace(None, protocol)
    assert not pace.update(1.0, 1.0)
    assert not pace.is_on


def test_configured_pace_is_permanent() -> None:
    assert Pace(0.1, "fastcoord-1").is_on
    never = Pace(0.0, "stalwart-0.15")
    never.update(1.0, 1.0)
    assert not never.is_on


def test_large_message_is_followed_by_longer_pause() -> None:
    pace = Pace(0.02, "stalwart-0.15")
    pace.sent(1000, 100.0)
    assert pace.ready_at == pytest.approx(100.02 + 1000 * SECONDS_PER_EVENT)


# ------------------------------------------------------------------------------------- log lines


def test_log_lines_of_kind_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log = LogLimit("node 1")
    for number in range(65_533):
        log.log(logging.ERROR, "duplicate ids", number / 10_000, "id %d", number)
    assert len(caplog.records) == LINES_PER_MINUTE
    log.tick(59.0)
    log.log(logging.ERROR, "protocols", 59.0, "other")
    assert len(caplog.records) == LINES_PER_MINUTE + 1
    log.tick(61.0)
    last = caplog.records[-1].getMessage()
    assert (
        last == f"node 1: {65_533 - LINES_PER_MINUTE} more lines about duplicate ids were left out"
    )
    log.log(logging.ERROR, "duplicate ids", 61.0, "id %d", 1)
    assert caplog.records[-1].getMessage() == "node 1: id 1"
