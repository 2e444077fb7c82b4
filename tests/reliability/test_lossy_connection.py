"""Connections that lose, repeat, reorder, delay and break: exactly what is missing is reported."""

import asyncio
import random

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.crowd import Crowd, crowd
from support.cluster.ledger import PLACE
from support.faults.damage import Damage
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.oracles.sequence_header import read_header
from support.scale import repeats
from support.wait import until

BATCHES = repeats(4_000, long=20_000)
STEADY = {"heartbeat": "1s"}
"""With this, a node does not lose its connection because the machine is busy."""


def events_in(frame: Frame) -> int:
    """Count the events of a message by its header; none for anything else."""
    numbers = read_header(frame.header)
    return numbers[2] if isinstance(numbers, tuple) else 0


def is_batch(frame: Frame) -> bool:
    return frame.is_message and events_in(frame) > 0


@pytest.mark.slow
@pytest.mark.parametrize("dropped", [1, 100, 1_500])
async def test_dropped_batches_are_counted(server: LocalServer, dropped: int) -> None:
    chance = random.Random(dropped)
    victims = {BATCHES - 1, *chance.sample(range(BATCHES - 1), dropped - 1)}
    seen: list[int] = []

    def lose(frame: Frame) -> Frame | None:
        if not is_batch(frame):
            return frame
        seen.append(events_in(frame))
        return None if len(seen) - 1 in victims else frame

    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([server, proxy, server], cluster=STEADY) as nodes,
    ):
        proxy.to_client.filter = lose
        sender = nodes.nodes[0]
        for batch in range(BATCHES):
            await nodes.ledger.publish(sender, chance.randint(1, 3))
            # An iteration of the event loop seals a batch, unless the queue is full at that moment.
            while sender.stats().sent_batches <= batch:  # noqa: ASYNC110 - waits for each iteration
                await asyncio.sleep(0)
        await nodes.even()
        assert len(seen) == BATCHES
        lost = sum(seen[index] for index in victims)
        assert nodes.ledger.missed() == {(2, 1): {"gap": lost}}
        assert nodes.nodes[1].stats().missed == {"gap": lost}


async def test_reordered_batches_are_missed(server: LocalServer) -> None:
    damage = Damage(random.Random(7), swap=0.03, only=is_batch)
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([server, proxy, server], cluster=STEADY) as nodes,
    ):
        proxy.to_client.filter = damage
        for _ in range(2_000):
            await nodes.ledger.publish(nodes.nodes[0])
            await asyncio.sleep(0)
        await nodes.nodes[0].flush()
        proxy.to_client.filter = None
        await nodes.even()
        # A held batch whose successor was held as well arrives in order.
        assert set(nodes.ledger.missed()) == {(2, 1)}
        assert 0 < nodes.ledger.missed()[2, 1]["gap"] <= len(damage.swapped)


async def test_repeated_receipts_are_dropped(server: LocalServer) -> None:
    damage = Damage(random.Random(5), duplicate=0.3, only=is_batch)
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([server, proxy, server], cluster=STEADY) as nodes,
    ):
        proxy.to_client.filter = damage
        for _ in range(1_000):
            await nodes.ledger.publish(nodes.nodes[0], 3)
            await asyncio.sleep(0)
        await nodes.even()
        assert nodes.ledger.missed() == {}
        repeated = sum(events_in(frame) for frame in damage.duplicated)
        await until(lambda: nodes.nodes[1].stats().late == repeated > 0)


async def test_repeated_sends_are_dropped(server: LocalServer) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([proxy, server, server], cluster=STEADY) as nodes,
    ):
        proxy.to_server.filter = lambda frame: [frame, frame] if is_batch(frame) else frame
        for _ in range(500):
            await nodes.ledger.publish(nodes.nodes[0], 2)
            await asyncio.sleep(0)
        await nodes.even()
        assert nodes.ledger.missed() == {}
        await until(lambda: nodes.nodes[1].stats().late == 1_000)


async def test_sender_cuts_lose_nothing(server: LocalServer) -> None:
    chance = random.Random(3)
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([proxy, server], 2, cluster=STEADY) as nodes,
    ):
        sender = nodes.nodes[0]
        async with nodes.load():
            for _ in range(repeats(4, long=20)):
                before = sender.stats().reconnects
                proxy.to_server.cut_after(chance.randrange(1, 5_000))
                await until(lambda: sender.stats().reconnects > before)  # noqa: B023
        await nodes.even()
        # The sender misses what the other node sent while it was disconnected, and reports that.
        # What it sent itself has all arrived: the other node was connected all the time.
        assert (2, 1) not in nodes.ledger.missed()


async def test_receiver_cuts_are_accounted(server: LocalServer) -> None:
    async with Proxy(server.host, server.port) as proxy, crowd([server, proxy], 2) as nodes:
        receiver = nodes.nodes[1]
        async with nodes.load():
            for _ in range(repeats(4, long=20)):
                before = receiver.stats().reconnects
                proxy.cut(reset=True)
                await until(lambda: receiver.stats().reconnects > before)  # noqa: B023
                await nodes.progress(100)
        await nodes.even()


async def test_paused_connection_loses_nothing(server: LocalServer) -> None:
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([server, proxy], 2, cluster={"heartbeat": "10s"}) as nodes,
    ):
        for _ in range(repeats(3, long=20)):
            proxy.to_client.pause()
            for _ in range(100):
                await nodes.ledger.publish(nodes.nodes[0])
                await asyncio.sleep(0)
            await nodes.nodes[0].flush()
            proxy.to_client.resume()
            await nodes.even()
        assert nodes.ledger.missed() == {}
        assert nodes.nodes[1].stats().reconnects == 0


async def test_damaged_payloads_keep_connection(server: LocalServer) -> None:
    damage = Damage(random.Random(11), alter=0.2, only=is_batch)
    async with (
        Proxy(server.host, server.port) as proxy,
        crowd([server, proxy], 2, cluster=STEADY) as nodes,
    ):
        proxy.to_client.filter = damage
        receiver = nodes.nodes[1]
        for _ in range(1_000):
            await nodes.ledger.publish(nodes.nodes[0])
            await asyncio.sleep(0)
        await nodes.nodes[0].flush()
        proxy.to_client.filter = None
        await until(lambda: known(nodes, receiver) >= 1_000 - len(damage.altered))
        assert damage.altered
        assert receiver.is_connected
        assert receiver.stats().reconnects == 0
        # What comes afterwards is complete again.
        await nodes.ledger.publish(nodes.nodes[0], 10)
        last = nodes.ledger.sent[1]
        await until(lambda: PLACE.pack(0, last - 1) in received_places(nodes, receiver, last))


def known(nodes: Crowd, receiver: fastcoord.Node) -> int:
    return nodes.record(receiver).sender(1).got


def received_places(nodes: Crowd, receiver: fastcoord.Node, last: int) -> set[bytes]:
    line = nodes.record(receiver).sender(1)
    return {PLACE.pack(0, line.place - 1)} if line.place >= last else set()
