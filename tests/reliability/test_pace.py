"""Pace: a Stalwart node that subscribes anew after each message receives every event."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from dataclasses import replace
from typing import Any

import pytest

import fastcoord
from fastcoord import Node, StateChange
from fastcoord.publishing.pace import DEFAULT_PACE, Pace
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted
from support.cluster.nodes import joined
from support.cluster.plain_peer import PlainPeer
from support.cluster.stalwart_player import stalwart_process
from support.cluster.stream_crowd import STREAM, make_stream
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.scale import repeats
from support.wait import until

PROTOCOL = "stalwart-0.15"
LONE = repeats(100, long=1_000)
ATTEMPTS = 3
LAG_ALLOWED = DEFAULT_PACE / 4


def batch(*events: fastcoord.Event) -> bytes:
    return fastcoord.encode_batch(events, node_id=5, protocol=PROTOCOL)


def decoded(payload: bytes) -> fastcoord.Batch:
    return fastcoord.decode_batch(payload, protocol=PROTOCOL)


def change(number: int) -> StateChange:
    return StateChange(account_id=7, change_id=number, types=1)


def numbers(report: dict[str, Any]) -> list[int]:
    """Return the numbers of the events that the player has received, in its order."""
    batches = [decoded(each) for each in report["payloads"]]
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
    for _ in range(ATTEMPTS):
        received, count, lag = await play_once(mode)
        if received == list(range(count)):
            return
        # Pace leaves a Stalwart node some milliseconds. A process may have to wait for longer if
        # the machine is busy.
        if lag <= LAG_ALLOWED:
            pytest.fail(f"{count - len(received)} events missing; lag {lag * 1000:.1f} ms")
    pytest.skip(f"the machine is busy: the player did not run for {lag * 1000:.1f} ms")


async def play_once(mode: str) -> tuple[list[int], int, float]:
    """Publish to a player of Stalwart 0.15.

    :return: the numbers that it received, how many were published, and its longest lag in seconds.
    """
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
                return (await stalwart.report())["events"] == count

            with contextlib.suppress(AssertionError):
                await until(all_arrived, timeout=5)
            report = await stalwart.report()
            return numbers(report), count, report["lag"]


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


def as_old_server(frame: Frame) -> Frame:
    if frame.is_message:
        return frame.alter(header=frame.header.replace(b"Nats-Trace-", b"Other-"))
    return replace(frame, raw=re.sub(rb'"version":"[^"]*"', b'"version":"2.10.29"', frame.raw))


async def test_old_server_delivers_check_of_publish_right(server: LocalServer) -> None:
    """Stalwart nodes receive it, so that the first event must leave them time as well."""
    cluster = {"protocol": PROTOCOL, "pace": "1h"}
    async with Proxy(server.host, server.port) as proxy, PlainPeer(server.url) as stalwart:
        proxy.to_server.filter = proxy.to_client.filter = as_old_server
        async with accounted(proxy, 1, cluster=cluster) as node:
            await until(lambda: stalwart.payloads)
            await node.publish(change(0))
            assert await node.close(timeout=0.5) == 1
            assert [len(decoded(each)) for each in stalwart.payloads] == [0]


async def test_delayed_check_of_publish_right_keeps_distance(server: LocalServer) -> None:
    """The event must not catch up with the check in a slow network."""
    times: list[float] = []

    async def delayed(frame: Frame) -> Frame:
        if frame.subject == "stwt.agora":
            if not times:
                await asyncio.sleep(0.25)  # longer than the pace
            times.append(time.monotonic())
        return as_old_server(frame)

    cluster = {"protocol": PROTOCOL, "pace": "200ms"}
    async with Proxy(server.host, server.port) as proxy:
        proxy.to_server.filter, proxy.to_client.filter = delayed, as_old_server
        async with accounted(proxy, 1, cluster=cluster) as node:
            await node.publish(change(0))
            await node.flush()
    assert times[1] - times[0] >= 0.2


def test_empty_message_keeps_time_for_events() -> None:
    pace = Pace(0.02, PROTOCOL)
    pace.sent(10_000, 0)
    ready_at = pace.ready_at
    pace.sent(0, 0.1)
    pace.confirmed(0.1)
    assert pace.ready_at == ready_at > 0.3


async def test_refused_presence_keeps_pace() -> None:
    """A node checks its right to publish again only if the server has refused that right."""
    login = {"user": "node", "password": "secret"}

    def users(**permissions: Any) -> str:
        return f"authorization {{ users: {json.dumps([{**login, 'permissions': permissions}])} }}"

    cluster = {"protocol": PROTOCOL, "presence_subject": "presence", "heartbeat": "200ms"}
    with LocalServer(extra_config=users()) as server:
        async with Proxy(server.host, server.port) as proxy:
            proxy.to_server.filter = proxy.to_client.filter = as_old_server
            async with joined(proxy, 1, cluster={**cluster, "pace": "500ms"}, **login) as node:
                server.reload(extra_config=users(subscribe={"deny": ["presence"]}))
                await until(lambda: not node.health())
                await node.publish(change(0))
                await node.flush()


async def test_next_message_takes_all_that_waits(server: LocalServer) -> None:
    cluster = {"protocol": PROTOCOL, "pace": "300ms"}

    async def is_within_pace() -> bool:
        async with PlainPeer(server.url) as stalwart, accounted(server, 1, cluster=cluster) as node:
            started = time.monotonic()
            for number in range(100):
                await node.publish(change(number))
                await asyncio.sleep(0)
            took = time.monotonic() - started
            await node.flush()
            await stalwart.flush()
            counts = [len(decoded(each)) for each in stalwart.payloads]
            assert took > 0.3 or counts == [1, 99]
            return counts == [1, 99]

    # On a busy machine, publishing may take longer than the pace.
    await until(is_within_pace)


@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_delayed_messages_keep_their_distance(mode: str) -> None:
    with LocalServer(jetstream=mode == "stream") as server:
        cluster: dict[str, Any] = {"protocol": PROTOCOL, "pace": "20ms"}
        if mode == "stream":
            await make_stream([server], subjects=["stwt.agora"])
            cluster["stream"] = STREAM
        async with (
            PlainPeer(server.url) as stalwart,
            Proxy(server.host, server.port) as proxy,
            accounted(proxy, 1, cluster=cluster) as node,
        ):
            await node.publish(change(0))
            await node.flush()
            proxy.to_server.pause()
            for number in range(1, 11):
                await node.publish(change(number))
                await asyncio.sleep(0.03)
            proxy.to_server.resume()
            await node.flush()
            # On a busy machine, a node may send an unconfirmed message again.
            await until(lambda: len(dict.fromkeys(stalwart.payloads)) == 3)
            batches = [decoded(each) for each in dict.fromkeys(stalwart.payloads)]
            assert [len(batch) for batch in batches] == [1, 1, 9]


async def test_pace_that_begins_delays_no_event(server: LocalServer) -> None:
    """What waits for a confirmation when the pace begins is sent when that confirmation arrives."""
    cluster = {"protocol": PROTOCOL, "heartbeat": "60s"}
    async with (
        Proxy(server.host, server.port) as proxy,
        PlainPeer(server.url) as stalwart,
        accounted(proxy, 1, cluster=cluster) as node,
    ):
        held: list[Frame] = []

        def hold_pongs(frame: Frame) -> list[Frame]:
            if node.stats().pace:
                released = [frame, *held]
                held.clear()
                return released
            if frame.verb == "PONG":
                held.append(frame)
                return []
            return [frame]

        await node.flush()
        proxy.to_client.filter = hold_pongs
        await node.publish(change(1))
        await until(lambda: held)
        await stalwart.publish(batch(change(0)))
        await until(lambda: node.stats().pace)
        await node.publish(change(2))
        await stalwart.publish(batch(change(0)))
        await until(lambda: len(stalwart.payloads) == 2)


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
