"""The table of docs/monitoring.md names the field of ``stats()`` for each metric."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fastcoord import Health, Peer, Stats, StreamStats, SubscriptionStats
from fastcoord.metrics import CAUSES, NodeCollector

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text("utf-8")
FIELDS = dict(re.findall(r"^\| `(fastcoord_\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE))
WITHOUT_FIELD = {"fastcoord_node_info", "fastcoord_subscription_fill_ratio"}

numbers = itertools.count(1000)


def distinct(cls: type[Any], **given: Any) -> Any:
    """Return stats whose integers are all different."""
    fields = {each.name for each in msgspec.structs.fields(cls) if each.type in (int, float)}
    return cls(**{name: next(numbers) for name in fields} | given)


def closed(**buffered: int) -> SubscriptionStats:
    zeros = {each.name: 0 for each in msgspec.structs.fields(SubscriptionStats)}
    return SubscriptionStats(**zeros | {"name": None} | buffered)  # type: ignore[arg-type]


STREAM: StreamStats = distinct(StreamStats, name="s", is_receiving=True, trouble=None)
STATS: Stats = distinct(
    Stats,
    server="nats1:4222",
    connection="connected",
    missed={cause: next(numbers) for cause in CAUSES},
    missed_unknown={cause: next(numbers) for cause in CAUSES},
    duplicate_node_ids=(1, 2, 3),
    protocol_mismatches=dict.fromkeys(range(5), "stalwart-0.15"),
    subscriptions=tuple(distinct(SubscriptionStats, name=None) for _ in range(7)),
    closed_subscriptions=(closed(buffered=11), closed(buffered=12)),
    stream=STREAM,
)
PEERS = [distinct(Peer, incarnation=1, round_trip=None, is_up=is_up) for is_up in (True, None)]
NODE: Any = SimpleNamespace(
    config=SimpleNamespace(
        cluster=SimpleNamespace(protocol="fastcoord-1"),
        nats=SimpleNamespace(capacity=SimpleNamespace(client=9999)),
    ),
    stats=lambda: STATS,
    health=Health,
    peers=lambda: tuple(PEERS),
)


def documented(field: str) -> float:
    """Return the sum of what a cell of the table names."""
    if "[]." in field:
        group, _, name = field.partition("[].")
        return sum(getattr(each, name) for each in getattr(STATS, group))
    value = eval(field, {"node": NODE, "len": len}, msgspec.structs.asdict(STATS))
    if isinstance(value, dict):
        return sum(value.values())
    if isinstance(value, Health):
        return bool(value)
    return len(value) if isinstance(value, tuple) else float(value)


SAMPLES: dict[str, float] = {}
for family in NodeCollector(NODE).collect():
    for sample in family.samples:
        SAMPLES[sample.name] = SAMPLES.get(sample.name, 0) + sample.value


def test_each_metric_has_field() -> None:
    assert set(FIELDS) == set(SAMPLES) - WITHOUT_FIELD


@pytest.mark.parametrize("metric", FIELDS)
def test_field_has_value_of_metric(metric: str) -> None:
    assert documented(FIELDS[metric]) == SAMPLES[metric]
