"""Two fastcoord nodes on one subject with different protocols."""

from __future__ import annotations

import logging

import pytest

import fastcoord
from fastcoord import Missed, ProtocolMismatch, ReloadSpamFilter, StateChange
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.wait import until

SUBJECT = "mixed.protocols"


def config(server: LocalServer, protocol: str, *, heartbeat: str = "200ms") -> fastcoord.Config:
    cluster = {"protocol": protocol, "subject": SUBJECT, "heartbeat": heartbeat}
    return fastcoord.parse_config(node_toml(server, cluster=cluster))


async def test_both_sides_report_mismatch_once(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="fastcoord"):
        async with (
            fastcoord.connect(config(server, "stalwart-0.15"), node_id=1) as old,
            old.subscribe() as received_by_old,
            fastcoord.connect(config(server, "stalwart-0.16"), node_id=2) as new,
            new.subscribe() as received_by_new,
        ):
            await until(lambda: old.stats().protocol_mismatches and new.stats().protocol_mismatches)
            # In the other protocol this tag is CacheInvalidateAll.
            await old.publish(ReloadSpamFilter())
            await new.publish(StateChange(1, 2, 3), StateChange(4, 5, 6))
            assert [await anext(received_by_old), await anext(received_by_old)] == [
                ProtocolMismatch(2, "stalwart-0.16"),
                Missed(2, 2, "undecodable"),
            ]
            # The first message of the other node may arrive before this subscription begins.
            notice = await anext(received_by_new)
            if notice == ProtocolMismatch(1, "stalwart-0.15"):
                notice = await anext(received_by_new)
            assert notice == Missed(1, 1, "undecodable")
            assert old.stats().protocol_mismatches == {2: "stalwart-0.16"}
            assert new.stats().protocol_mismatches == {1: "stalwart-0.15"}
    assert len([line for line in caplog.messages if "cluster.protocol" in line]) == 2


async def test_mismatch_ends_with_goodbye(server: LocalServer) -> None:
    async with fastcoord.connect(config(server, "stalwart-0.15"), node_id=1) as old:
        async with fastcoord.connect(config(server, "stalwart-0.16"), node_id=2):
            await until(lambda: old.stats().protocol_mismatches)
        await until(lambda: old.stats().protocol_mismatches == {})


async def test_same_protocol_reports_nothing(server: LocalServer) -> None:
    # With this heartbeat, no node counts as silent on a busy machine.
    same = config(server, "stalwart-1.0", heartbeat="10s")
    async with (
        fastcoord.connect(same, node_id=1) as one,
        one.subscribe() as events,
        fastcoord.connect(same, node_id=2) as two,
    ):
        await two.publish(StateChange(1, 2, 3))
        assert await anext(events) == StateChange(1, 2, 3)
        assert one.stats().protocol_mismatches == {}
