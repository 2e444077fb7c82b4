"""The event classes of a program, from node to node."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import fastcoord
from fastcoord import AppEvent, ReloadSettings, UnsupportedEvent, blocking
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect, drain
from support.cluster.nodes import node_toml
from support.wait import until

Cluster = dict[str, Any]


@fastcoord.event(kind=21)
class TaskDone(msgspec.Struct, frozen=True):
    task: int
    result: str = ""


@fastcoord.event(kind=22)
class TaskFailed(msgspec.Struct, frozen=True):
    task: int


async def test_instances_travel_between_nodes(server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(server, 1, cluster=cluster) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as everything,
        receiver.subscribe(kinds=[TaskFailed]) as failures,
    ):
        await sender.publish(TaskDone(1, "ok"))
        await sender.publish(TaskDone(2), ReloadSettings(), TaskFailed(3))
        await sender.publish_many([TaskDone(4), AppEvent(5, b"raw")])
        sender.publish_nowait(TaskFailed(6))
        await sender.flush()
        assert await collect(everything.__aiter__(), 7) == [
            TaskDone(1, "ok"),
            TaskDone(2),
            ReloadSettings(),
            TaskFailed(3),
            TaskDone(4),
            AppEvent(5, b"raw"),
            TaskFailed(6),
        ]
        assert everything.sender == 1
        assert await collect(failures.batches(), 1) != []
        assert drain(failures) in ([], [TaskFailed(6)])
        assert failures.stats().filtered == 5


async def test_stalwart_protocol_refuses_classes(server: LocalServer, cluster: Cluster) -> None:
    async with accounted(server, 1, cluster={**cluster, "protocol": "stalwart-0.16"}) as node:
        for call in (
            lambda: node.publish(TaskDone(1)),
            lambda: node.publish_many([ReloadSettings, TaskDone(1)][1:]),
            lambda: node.publish_nowait(TaskDone(1)),
            lambda: node.subscribe(kinds=[TaskDone]),
        ):
            with pytest.raises(UnsupportedEvent, match="sent as AppEvent, which"):
                call()
        assert node.stats().accepted == 0


async def test_mismatch_is_counted(server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(server, 1, cluster=cluster) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        wrong = AppEvent(21, msgspec.msgpack.encode({"task": "first"}))
        await sender.publish(TaskDone(1), wrong, TaskDone(2))
        await until(lambda: events.stats().buffered == 3)
        assert drain(events) == [TaskDone(1), wrong, TaskDone(2)]
        assert receiver.stats().subscriptions[0].mismatched == 1


def test_blocking_nodes_use_classes(shared_server: LocalServer, cluster: Cluster) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    with (
        blocking.connect(config, node_id=1) as sender,
        blocking.connect(config, node_id=2) as receiver,
        receiver.subscribe(kinds=[TaskDone], timeout=60) as events,
    ):
        sender.publish(TaskDone(1))
        sender.publish_nowait(TaskFailed(2))
        sender.publish_many([TaskFailed(3), TaskDone(4, "late")])
        sender.flush()
        assert [events.next(), events.next()] == [TaskDone(1), TaskDone(4, "late")]
