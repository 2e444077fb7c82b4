"""Comparing a stream with what fastcoord needs."""

from typing import Any

import msgspec
import pytest

from fastcoord.config import Config
from fastcoord.nats.stream_info import (
    Replica,
    StreamCluster,
    StreamInfo,
    StreamState,
)
from fastcoord.streaming.settings import (
    NANOSECONDS,
    differences,
    is_covered,
    stream_advice,
    stream_problems,
    stream_settings,
)
from support.inputs.config_texts import read

CONFIG = read(cluster='stream = "AGORA"')
EMPTY = StreamState(messages=0, bytes=0, first_seq=1, last_seq=0)


def info(config: Config = CONFIG, **changes: Any) -> StreamInfo:
    cluster = changes.pop("cluster", None)
    settings = msgspec.structs.replace(stream_settings(config), **changes)
    return StreamInfo(config=settings, state=EMPTY, cluster=cluster)


def the_problem(**changes: Any) -> str:
    (problem,) = stream_problems(info(**changes), CONFIG)
    assert problem.remedy
    return str(problem)


def test_default_settings_fit() -> None:
    assert stream_problems(info(), CONFIG) == []
    assert stream_advice(info(), CONFIG, is_clustered=False) == []
    settings = stream_settings(CONFIG)
    assert (settings.name, settings.subjects) == ("AGORA", ("stwt.agora",))
    assert settings.duplicate_window == 120 * NANOSECONDS


def test_duplicate_window_follows_max_age() -> None:
    patient = read(cluster='stream = "S"\nmax-age = "10m"')
    assert stream_settings(patient).duplicate_window == 600 * NANOSECONDS
    assert stream_settings(patient, max_age=90).duplicate_window == 90 * NANOSECONDS
    assert "shorter than cluster.max-age (10m)" in str(*stream_problems(info(), patient))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subjects": ()}, "does not store stwt.agora"),
        ({"subjects": ("stwt.agora", "a.b")}, "other subjects than the events' (a.b)"),
        ({"subjects": ("stwt.*",)}, "other subjects than the events' (stwt.*)"),
        ({"subjects": ("stwt.agora", "stwt.agora.>")}, "also stores stwt.agora.fastcoord"),
        ({"subjects": ("stwt.>",)}, "also stores stwt.agora.fastcoord"),
        ({"mirror": {"name": "X"}, "subjects": ()}, "is a mirror"),
        ({"sources": ({"name": "X"},)}, "messages of other streams"),
        ({"subject_transform": {"src": ">", "dest": "a.>"}}, "changes the subjects"),
        ({"retention": "workqueue"}, "the retention is workqueue"),
        ({"retention": "interest"}, "the retention is interest"),
        ({"discard": "new"}, "nats stream edit AGORA --discard=old"),
        ({"sealed": True}, "is sealed"),
        ({"no_ack": True}, "confirms no messages"),
        ({"duplicate_window": 1}, "nats stream edit AGORA --dupe-window=1m"),
        ({"duplicate_window": 1, "max_age": 2}, "--dupe-window=1m --max-age=1m"),
        ({"max_msg_size": 16384}, "refuses messages above 16384 bytes"),
        ({"max_consumers": 5}, "allows only 5 consumers"),
        ({"cluster": StreamCluster()}, "has no leader"),
    ],
)
def test_unusable_stream_is_reported(changes: dict[str, Any], expected: str) -> None:
    assert expected in the_problem(**changes)


def test_all_problems_are_reported_together() -> None:
    unusable = info(retention="interest", no_ack=True, discard="new", subjects=("x",))
    assert len(stream_problems(unusable, CONFIG)) == 5


def test_shared_presence_subject_is_allowed() -> None:
    shared = read(cluster='stream = "AGORA"\npresence-subject = "stwt.agora"')
    assert stream_problems(info(), shared) == []
    assert "heartbeats travel" in str(*stream_advice(info(), shared, is_clustered=False))


@pytest.mark.parametrize(
    ("changes", "is_clustered", "expected"),
    [
        ({}, True, "one server stores the stream"),
        ({"storage": "memory"}, False, "memory of one server"),
        ({"max_age": 0, "max_bytes": -1}, False, "nothing limits the stream"),
        ({"max_age": 60 * NANOSECONDS}, False, "removed after 1m"),
        (
            {
                "num_replicas": 3,
                "cluster": StreamCluster(
                    leader="a",
                    replicas=(Replica(name="b", current=True), Replica(name="c", offline=True)),
                ),
            },
            True,
            "do not have everything: c (offline)",
        ),
    ],
)
def test_advice_is_given(changes: dict[str, Any], is_clustered: bool, expected: str) -> None:
    (advice,) = stream_advice(info(**changes), CONFIG, is_clustered=is_clustered)
    assert expected in advice.what
    assert stream_problems(info(**changes), CONFIG) == []


@pytest.mark.parametrize(
    ("pattern", "is_matched"),
    [
        *[("a.b", True), ("a.*", True), ("*.b", True), ("a.>", True), (">", True), ("*.*", True)],
        *[("a", False), ("a.b.c", False), ("a.b.>", False), ("*", False), ("a.c", False)],
    ],
)
def test_patterns_match_like_nats(pattern: str, is_matched: bool) -> None:
    assert is_covered("a.b", [pattern]) == is_matched


def test_differences_are_named() -> None:
    wanted = stream_settings(CONFIG)
    found = msgspec.structs.replace(wanted, max_age=0, subjects=("a", "b"), num_replicas=3)
    assert differences(wanted, wanted) == []
    assert differences(wanted, found) == [
        "subjects a, b, not stwt.agora",
        "num replicas 3, not 1",
        "max age unlimited, not 1h",
    ]
