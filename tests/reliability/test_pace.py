"""Pace: a Stalwart node that subscribes anew after each message receives every event."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import fastcoord
from fastcoord import Node, StateChange
from fastcoord.publishing.pace import DEFAULT_PACE
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted
from support.cluster.plain_peer import PlainPeer
from support.cluster.stalwart_player import StalwartProcess, stalwart_process
from support.cluster.stream_crowd import STREAM, make_stream
from support.scale import repeats
from support.wait import until

PROTOCOL = "stalwart-0.15"
LONE = repeats(100, long=1_000)


def batch(*events: fastcoord.Event) -> bytes:
    return fastcoord.encode_batch(events, node_id=5, protocol=PROTOCOL)


def change(number: int) -> StateChange:
    return StateChange(account_id=7, change_id=number, types=1)


async def numbers(stalwart: StalwartProcess) -> list[int]:
    """Return the numbers of the events that the player has received, in its order."""
    report = await stalwart.report()
    batches = [fastcoord.decode_batch(each, protocol=PROTOCOL) for each in report["payloads"]]
    return [event.change_id for batch in batches for event in batch]


async def publish_everything(node: Node) -> int:
    """Publish events in a loop, in batches and one by one; return their number."""
    for number in range(10_000):
        await node.publish(change(number))
    for start in range(10_000, 20_000, 100):
        await node.publish_many([change(number) for number in range(start, start + 100)])
    await node.flush()
    for number in range(20_000, 20_000 + LONE):
        await node.publish(change(number))
        await node.flush()
    return 20_000 + LONE


@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_renewing_stalwart_receives_every_event(mode: str) -> None:
    with LocalServer(jetstream=mode == "stream") as server:
        cluster: dict[str, Any] = {"protocol": PROTOCOL}
        if mode == "stream":
            await make_stream([server], subjects=["stwt.agora"])
            cluster["stream"] = STREAM
        async with (
            stalwart_process(server.url) as stalwart,
            accounted(server, 1, cluster=cluster) as node,
        ):
            await stalwart.publish(batch(change(0)))
            await until(lambda: node.stats().pace == DEFAULT_PACE)
            count = await publish_everything(node)

            async def all_arrived() -> bool:
                return len(await numbers(stalwart)) == count

            await until(all_arrived, timeout=20)
            received = await numbers(stalwart)
            assert received == list(range(count))


async def test_first_event_leaves_at_once(server: LocalServer) -> None:
    cluster = {"protocol": PROTOCOL, "pace": "1h"}
    async with PlainPeer(server.url) as stalwart, accounted(server, 1, cluster=cluster) as node:
        assert node.stats().pace == 3600
        await node.publish(change(0))
        await until(lambda: stalwart.payloads)
        await node.publish(change(1))
        await node.publish(change(2))
        assert node.stats().waiting >= 2
        assert await node.close(timeout=0.5) == 2
        assert len(stalwart.payloads) == 1


async def test_next_message_takes_all_that_waits(server: LocalServer) -> None:
    cluster = {"protocol": PROTOCOL, "pace": "300ms"}
    async with PlainPeer(server.url) as stalwart, accounted(server, 1, cluster=cluster) as node:
        for number in range(100):
            await node.publish(change(number))
            await asyncio.sleep(0)
        await until(lambda: len(stalwart.payloads) == 2)
        assert [
            len(fastcoord.decode_batch(each, protocol=PROTOCOL)) for each in stalwart.payloads
        ] == [
            1,
            99,
        ]


async def test_pace_begins_with_one_line(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with PlainPeer(server.url) as stalwart, accounted(server, 1) as node:
        for count in range(1, 20):
            await stalwart.publish(batch(change(0)))
            await until(lambda count=count: node.stats().received == count)
        assert node.stats().pace == DEFAULT_PACE
        lines = [
            each.getMessage() for each in caplog.records if "cluster.pace" in each.getMessage()
        ]
        assert len(lines) == 1


@pytest.mark.parametrize("settings", [{"pace": 0}, {"protocol": "stalwart-0.16"}])
async def test_pace_is_off_otherwise(server: LocalServer, settings: dict[str, Any]) -> None:
    async with (
        PlainPeer(server.url) as stalwart,
        accounted(server, 1, cluster={"protocol": PROTOCOL, **settings}) as node,
    ):
        await stalwart.publish(batch(change(0)))
        await until(lambda: node.stats().received == 1)
        assert node.stats().pace == 0
