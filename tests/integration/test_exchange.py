"""Events from node to node: every kind, every way to publish and to receive, each exactly once."""

import asyncio
import json
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import AppEvent, EmailPush, ReloadBlockedIps, ReloadPushServers, StateChange
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, assert_accounts, collect, drain
from support.cluster.nodes import node_toml
from support.inputs.samples import samples
from support.loops import LOOPS, runner
from support.wait import until

SCRIPT = Path(__file__).parent.parent / "support" / "processes" / "exchanging_process.py"
Cluster = dict[str, Any]


# ------------------------------------------------------------------------------ between processes


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("protocol", ["stalwart-0.15", "stalwart-0.16", "stalwart-1.0"])
async def test_processes_exchange_stalwart_kinds(
    shared_server: LocalServer, cluster: Cluster, tmp_path: Path, protocol: str, loop: str
) -> None:
    await processes_exchange(shared_server, {**cluster, "protocol": protocol}, tmp_path, loop)


@pytest.mark.parametrize("loop", LOOPS)
async def test_processes_exchange_fastcoord_kinds(
    shared_server: LocalServer, cluster: Cluster, tmp_path: Path, loop: str
) -> None:
    await processes_exchange(shared_server, cluster, tmp_path, loop)


async def processes_exchange(
    server: LocalServer, cluster: Cluster, tmp_path: Path, loop: str
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster=cluster), encoding="utf-8")
    rounds = 20
    expected = samples(cluster["protocol"]) * rounds
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", str(SCRIPT)),
            *(str(config), str(node_id), loop, str(len(expected)), str(rounds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for node_id in (1, 2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    for process, (out, err) in zip(processes, answers, strict=True):
        assert (process.returncode, err.decode()) == (0, "")
        answer = json.loads(out)
        assert answer["received"] == [fastcoord.to_builtins(event) for event in expected]
        assert answer["accepted"] == answer["confirmed"] == len(expected)
        assert answer["missed"] == {}


# --------------------------------------------------------------------------------- subscriptions


@pytest.mark.parametrize("loop", LOOPS)
def test_subscriptions_filter_by_kind(
    shared_server: LocalServer, cluster: Cluster, loop: str
) -> None:
    runner(loop)(subscriptions_filter_by_kind(shared_server, cluster))


async def subscriptions_filter_by_kind(server: LocalServer, cluster: Cluster) -> None:
    sent = samples("fastcoord-1") * 3
    async with (
        accounted(server, 1, cluster=cluster) as sender,
        accounted(server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as everything,
        receiver.subscribe(kinds=[StateChange, AppEvent]) as some,
        receiver.subscribe(kinds=[EmailPush], overflow="drop-newest") as few,
        receiver.subscribe(overflow="drop-newest") as whole,
    ):
        await sender.publish(*sent)
        assert await collect(everything, len(sent)) == sent
        wanted = [event for event in sent if isinstance(event, StateChange | AppEvent)]
        assert await collect(some, len(wanted)) == wanted
        pushes = [event for event in sent if isinstance(event, EmailPush)]
        assert await collect(few, len(pushes)) == pushes
        batches = whole.batches()
        (batch,) = await collect(batches, 1)
        assert (batch.node_id, list(batch)) == (1, sent)
        assert drain(some) == drain(few) == []
        assert_accounts(sender, receiver)
        assert [each.filtered for each in receiver.stats().subscriptions] == [
            0,
            len(sent) - len(wanted),
            len(sent) - len(pushes),
            0,
        ]


async def test_batches_filter_in_order(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe(kinds=[ReloadPushServers]) as events,
    ):
        for start in range(0, 60, 20):
            # A flush ends a batch. The second batch has no event of the requested kind.
            await sender.publish(*(ReloadPushServers(start + each) for each in range(20)))
            await sender.flush()
            await sender.publish(ReloadBlockedIps())
            await sender.flush()
        batches = await collect(events.batches(), 3)
        assert [[event.account_id for event in batch] for batch in batches] == [
            list(range(start, start + 20)) for start in range(0, 60, 20)
        ]
        assert [len(batch) for batch in batches] == [20, 20, 20]
        assert batches[0].received_at <= batches[1].received_at <= batches[2].received_at


async def test_subscription_skips_earlier_events(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
    ):
        await sender.publish(*(ReloadPushServers(each) for each in range(100)))
        await until(lambda: receiver.stats().received == 100)
        async with receiver.subscribe() as events:
            await sender.publish(ReloadPushServers(100))
            assert await collect(events, 1) == [ReloadPushServers(100)]
            assert receiver.stats().subscriptions[0].arrived == 1


async def test_node_ignores_own_events(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster) as one,
        accounted(shared_server, 2, cluster=cluster) as two,
        one.subscribe() as received_by_one,
        two.subscribe() as received_by_two,
    ):
        await one.publish(ReloadPushServers(1))
        assert await collect(received_by_two, 1) == [ReloadPushServers(1)]
        await two.publish(ReloadPushServers(2))
        assert await collect(received_by_one, 1) == [ReloadPushServers(2)]
        assert drain(received_by_one) == drain(received_by_two) == []


async def test_echo_delivers_own_events(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster, no_echo=False) as one,
        accounted(shared_server, 2, cluster=cluster) as two,
        one.subscribe() as events,
    ):
        await one.publish(*(ReloadPushServers(each) for each in range(50)))
        await one.flush()
        await two.publish(ReloadBlockedIps())
        received = await collect(events, 51)
        assert received == [*(ReloadPushServers(each) for each in range(50)), ReloadBlockedIps()]
        assert one.stats().duplicate_node_ids == ()


# --------------------------------------------------------------------------------------- load


@pytest.mark.parametrize("loop", LOOPS)
def test_mixed_load_keeps_order(shared_server: LocalServer, cluster: Cluster, loop: str) -> None:
    runner(loop)(mixed_load_keeps_order(shared_server, cluster))


async def mixed_load_keeps_order(server: LocalServer, cluster: Cluster) -> None:
    each = 40_000
    async with (
        accounted(server, 1, cluster=cluster) as one,
        accounted(server, 2, cluster=cluster) as two,
        accounted(server, 3, cluster=cluster) as three,
        one.subscribe() as at_one,
        two.subscribe() as at_two,
        three.subscribe() as at_three,
    ):

        async def publish(node: fastcoord.Node) -> None:
            number = 0
            while number < each:
                size = 1 + number * 7 % 97
                events = [EmailPush(node.node_id, number + more, 0) for more in range(size)]
                if number % 3 == 0:
                    await node.publish(*events)
                elif number % 3 == 1:
                    await node.publish_many(events)
                else:
                    node.publish_nowait(*events)
                number += size
            await node.publish(*(EmailPush(node.node_id, each * 2, 0),))

        nodes = (one, two, three)
        await asyncio.gather(*(publish(node) for node in nodes))
        for node, events in zip(nodes, (at_one, at_two, at_three), strict=True):
            await node.flush()
            await until(partial(has_received_all, node, nodes))
            received = in_order(drain(events))
            assert set(received) == {1, 2, 3} - {node.node_id}
            for numbers in received.values():
                assert numbers[:-1] == list(range(len(numbers) - 1))
                assert numbers[-1] == each * 2
        assert_accounts(*nodes)


def has_received_all(node: fastcoord.Node, nodes: tuple[fastcoord.Node, ...]) -> bool:
    published = sum(other.stats().accepted for other in nodes if other is not node)
    return node.stats().received == published


def in_order(events: list[Any]) -> dict[int, list[int]]:
    """Give the numbers that each sender's events carry, in the order received."""
    received = defaultdict(list)
    for event in events:
        assert isinstance(event, EmailPush), event
        received[event.account_id].append(event.email_id)
    return dict(received)


@pytest.mark.parametrize("loop", LOOPS)
def test_server_restarts_lose_nothing(server: LocalServer, cluster: Cluster, loop: str) -> None:
    runner(loop)(server_restarts_lose_nothing(server, cluster))


async def server_restarts_lose_nothing(server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(server, 1, cluster=cluster) as sender,
        accounted(server, 2, cluster=cluster, no_echo=False) as receiver,
        receiver.subscribe() as events,
    ):
        number = 0
        # From its first message on, the sender's events are counted exactly.
        await until(lambda: receiver.peers() and sender.peers())

        async def publish(count: int) -> None:
            nonlocal number
            for _ in range(count):
                await sender.publish(EmailPush(1, number, 0))
                number += 1

        for _ in range(2):
            await publish(20_000)
            server.kill()
            await publish(20_000)
            server.restart()
            await until(lambda: sender.is_connected and receiver.is_connected)
        await sender.flush()
        received: list[Any] = []
        missed: list[fastcoord.Missed] = []
        last = EmailPush(1, number, 0)
        await sender.publish(last)
        while not received or received[-1] != last:
            (event,) = await collect(events, 1)
            (missed if isinstance(event, fastcoord.Missed) else received).append(event)
        # What the receiver's own connection lost is reported; the sender loses nothing.
        assert sender.stats().confirmed + sender.stats().waiting == number + 1
        numbers = in_order(received)[1]
        assert numbers == sorted(set(numbers))
        assert len(received) + sum(each.events or 0 for each in missed) == number + 1
        assert {each.cause for each in missed} <= {"gap", "disconnect"}
