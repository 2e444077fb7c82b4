"""Messages in the name of another node cost a report, and no loss lasts."""

from __future__ import annotations

from typing import Any

import pytest

import fastcoord
from fastcoord import AppEvent, Missed
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, drain
from support.cluster.ledger import numbered_event
from support.cluster.plain_peer import PlainPeer
from support.oracles.sequence_header import write_header
from support.wait import until

SUBJECT = "forged.test"
CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "200ms", "subject": SUBJECT}
FORGED = AppEvent(7, b"forged")
PAYLOAD = fastcoord.encode_batch([FORGED], node_id=2, protocol="fastcoord-1")
EMPTY = fastcoord.encode_batch([], node_id=2, protocol="fastcoord-1")
HUGE = 1 << 60


@pytest.mark.parametrize("field", ["offset", "connection", "incarnation", "tail", "former run"])
async def test_forged_header_causes_no_lasting_loss(server: LocalServer, field: str) -> None:
    async with (
        PlainPeer(server.url, SUBJECT) as forger,
        accounted(server, 1, cluster=CLUSTER) as receiver,
        accounted(server, 2, cluster=CLUSTER) as sender,
    ):
        events = receiver.subscribe()
        await sender.publish(*(numbered_event(2, number) for number in range(10)))
        await until(lambda: receiver.stats().received == 10)
        assert len(drain(events)) == 10
        own = sender.stats().incarnation
        values = {
            "offset": (own, HUGE, 1),
            "connection": (own, 10, 1, 0, 1 << 31),
            "incarnation": (own + 1, 0, 1),
            "tail": (own, HUGE, 0),
            "former run": (own + 1, HUGE, 1, HUGE, 1 << 31),
        }[field]
        header = {"F": write_header(*values, protocol="d")}
        await forger.publish(EMPTY if field == "tail" else PAYLOAD, header=header)
        if field == "tail":
            await until(lambda: receiver.stats().missed.get("gap") == HUGE - 10)
        else:
            await until(lambda: receiver.stats().received == 11)
        # The sender continues until its events are delivered again.
        count = 10
        received = receiver.stats().received

        async def is_received() -> bool:
            nonlocal count
            await sender.publish(numbered_event(2, count))
            count += 1
            return receiver.stats().received > received

        await until(is_received)
        await sender.publish(*(numbered_event(2, number) for number in range(count, count + 10)))
        last = numbered_event(2, count + 9)
        items: list[Any] = []

        def is_complete() -> bool:
            items.extend(drain(events))
            return last in items

        await until(is_complete)
        delivered = [item for item in items if isinstance(item, AppEvent) and item != FORGED]
        assert Missed(2, None, "gap") in items[: items.index(delivered[0])]
        start = count + 10 - len(delivered)
        assert delivered == [numbered_event(2, number) for number in range(start, count + 10)]
        assert receiver.stats().duplicate_node_ids == ()
