"""Messages of a stream that are large for the ring of a subscription."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from fastcoord import CalendarAlert, Missed, encode_batch
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.stream_crowd import PROTOCOL, STREAM, SUBJECT, administrator, make_stream

CLUSTER = {"stream": STREAM, "protocol": PROTOCOL}


def alert(number: int, size: int) -> CalendarAlert:
    return CalendarAlert(number, event_id=2, recurrence_id=None, uid="x" * size, alert_id="")


async def store(server: LocalServer, alerts: Iterable[CalendarAlert]) -> None:
    """Store events, each in a message of its own."""
    await make_stream([server])
    async with joined(server, 1, cluster=CLUSTER, capacity={"batch_bytes": 100_000}) as sender:
        for each in alerts:
            await sender.publish(each)
            await sender.flush()


@pytest.mark.parametrize("capacity", [150_000, 20_000])
async def test_lowered_max_payload_stops_no_replay(
    jetstream_server: LocalServer, capacity: int
) -> None:
    large, small = alert(1, 50_000), alert(2, 1)
    await store(jetstream_server, [large, small])
    jetstream_server.reload(extra_config="max_payload: 16384")
    settings: dict[str, Any] = {"subscription_bytes": capacity, "batch_bytes": 4096}
    async with (
        joined(jetstream_server, 2, cluster=CLUSTER, capacity=settings) as node,
        node.subscribe(since=0) as events,
    ):
        first = large if capacity > 50_000 else Missed(1, 1, "overflow")
        assert [await asyncio.wait_for(anext(events), 10) for _ in range(2)] == [first, small]


async def test_replay_fits_into_small_ring(jetstream_server: LocalServer) -> None:
    alerts = [alert(number, 4_000) for number in range(40)]
    await store(jetstream_server, alerts)
    async with (
        joined(
            jetstream_server, 2, cluster=CLUSTER, capacity={"subscription_bytes": 60_000}
        ) as node,
        node.subscribe(since=0) as events,
    ):
        received = []
        for _ in alerts:
            # The ring fills during a round trip to the server.
            await node.flush()
            received.append(await asyncio.wait_for(anext(events), 10))
        assert received == alerts


async def test_request_ends_with_its_last_byte(jetstream_server: LocalServer) -> None:
    alerts = [alert(number, 5_000) for number in range(3)]
    payloads = [encode_batch([each], node_id=9, protocol=PROTOCOL) for each in alerts]
    await make_stream([jetstream_server])
    async with administrator([jetstream_server]) as jetstream:
        for payload in payloads:
            await jetstream.publish(SUBJECT, payload)
    # The first message of the consumer has this reply subject: its name has 12 digits, a time 19.
    reply = f"$JS.ACK.{STREAM}.fastcoord-{'0' * 12}.1.1.1.{'0' * 19}.2"
    first = len(SUBJECT) + len(reply) + len(payloads[0])
    settings: dict[str, Any] = {"subscription_bytes": 4 * first, "batch_bytes": 4096}
    cluster = {**CLUSTER, "heartbeat": "5s"}
    async with (
        joined(jetstream_server, 2, cluster=cluster, capacity=settings) as node,
        node.subscribe(since=0) as events,
    ):
        assert [await asyncio.wait_for(anext(events), 5) for _ in alerts] == alerts
