"""Nodes that choose their id themselves."""

import asyncio
import gc
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

import fastcoord
from fastcoord import AppEvent, Missed, Node
from fastcoord.presence import own_id
from fastcoord.presence.claim import Claim
from fastcoord.presence.questions import Answer
from fastcoord.server import LocalServer
from support.cluster.ledger import PLACE, numbered_event
from support.cluster.nodes import Reachable, joined, node_toml
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.processes.workers import LIMIT, Workers, workers
from support.scale import repeats
from support.servers.parted_cluster import parted_cluster
from support.wait import POLL_INTERVAL, until

CLUSTER = {"protocol": "fastcoord-1", "heartbeat": "500ms"}
EVENTS = 50


def count_incarnations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number the runs from 1, so that a test knows which one is older."""
    following = itertools.count(1).__next__
    for module in ("session", "cluster_events"):
        monkeypatch.setattr(f"fastcoord._session.{module}.new_incarnation", following)


@contextmanager
def drawn(monkeypatch: pytest.MonkeyPatch, *node_ids: int) -> Iterator[None]:
    """Have the next nodes draw these ids first."""
    left = list(node_ids)
    draw = own_id.draw

    def next_id(known: object) -> int:
        return left.pop(0) if left else draw(known)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("fastcoord.presence.own_id.draw", next_id)
        patch.setattr("fastcoord._session.session.draw", next_id)
        yield


def wait_for_objections(monkeypatch: pytest.MonkeyPatch, node_id: int) -> None:
    """Have nodes that claim this id wait for an objection, however busy the machine is."""
    wait = Claim.wait

    async def wait_longer(claim: Claim, seconds: float) -> None:
        await wait(claim, 60.0 if claim.node_id == node_id else seconds)

    monkeypatch.setattr(Claim, "wait", wait_longer)


class Account:
    """What one node has sent, and what it has received of the others by their number."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.number = number
        self.sent = 0
        self.received: defaultdict[int, list[int]] = defaultdict(list)
        self.missed: list[Missed] = []
        self.ids = {node.node_id}
        self.following = asyncio.create_task(self._follow(node.subscribe()))

    async def _follow(self, events: fastcoord.Subscription[fastcoord.Event]) -> None:
        async for item in events:
            if isinstance(item, AppEvent):
                self.received[item.kind].append(PLACE.unpack(item.payload)[1])
            elif isinstance(item, Missed):
                self.missed.append(item)

    async def publish(self, count: int) -> None:
        events = [numbered_event(self.number, self.sent + each) for each in range(count)]
        await self.node.publish_many(events)
        self.sent += count

    async def produce(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.publish(5)
            self.ids.add(self.node.node_id)
            await asyncio.sleep(POLL_INTERVAL)
        self.ids.add(self.node.node_id)


def check(accounts: list[Account], parted: Account) -> None:
    """Assert that no event arrived twice or out of order, and that each loss was reported.

    :param parted: the node that was parted from the others when all of them joined.
    """
    for receiver in accounts:
        for sender in accounts:
            if sender is receiver:
                continue
            numbers = receiver.received[sender.number]
            assert numbers == sorted(set(numbers))
            lost = sender.sent - len(numbers)
            reported = [
                missed
                for missed in receiver.missed
                if missed.node_id is None or missed.node_id in sender.ids
            ]
            if any(missed.events is None for missed in reported):
                continue
            if not reported or parted in (receiver, sender):
                # Neither knew of the other before the routes were healed, whatever was lost then.
                lost -= numbers[0]
            assert lost <= sum(missed.events or 0 for missed in reported)


def is_note(frame: Frame, note: bytes) -> bool:
    """Return whether a frame is a message of this kind in ``fastcoord-1``."""
    return re.search(rb"\r\nF:1[a-z]" + note, frame.header) is not None


async def _connect(config: fastcoord.Config) -> Node:
    return await fastcoord.connect(config)


def config_of(servers: Reachable) -> fastcoord.Config:
    return fastcoord.parse_config(node_toml(servers, cluster=CLUSTER | {"node_id": "auto"}))


async def acquainted(group: Workers, count: int) -> None:
    """Wait until each worker has an id of its own, and every other one knows it as up.

    On a busy machine, a node may object to a claim after another one has joined.
    """

    async def is_settled() -> bool:
        reports = (await group.run("peers", count - 1)).values()
        ids = {report["node_id"] for report in reports}
        return len(ids) == count and all(
            set(report["up"]) == ids - {report["node_id"]} for report in reports
        )

    await until(is_settled, timeout=LIMIT)


async def test_workers_share_no_id(server: LocalServer, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    # While many processes start, a node may not run for longer than a short heartbeat.
    cluster = CLUSTER | {"heartbeat": f"{repeats(2, long=5)}s"}
    config.write_text(node_toml(server, cluster=cluster), encoding="utf-8")
    count = repeats(6, long=64)
    # Among few ids, several workers draw the same one.
    ids = repeats(2 * count, long=49_152)
    for _ in range(repeats(1, long=10)):
        async with workers(config, events=EVENTS, ids=ids) as group:
            await group.start(count)
            await acquainted(group, count)
            reports = await group.run("publish", count - 1)
            for index, report in reports.items():
                others = set(reports) - {index}
                assert report["counts"] == {str(each): EVENTS for each in others}
                assert report["in_order"]
                assert report["missed"] == []
            await group.end()


async def test_killed_workers_are_replaced(server: LocalServer, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster=CLUSTER), encoding="utf-8")
    async with workers(config, events=EVENTS, ids=16) as group:
        await group.start(4)
        await acquainted(group, 4)
        killed = {worker.index for worker in group.all[:2]}
        for worker in group.all[:2]:
            await worker.kill()
        del group.all[:2]
        await group.start(2)
        await acquainted(group, 4)
        reports = await group.run("publish", 3)
        for index, report in reports.items():
            others = set(reports) - {index}
            counts = {int(sender): number for sender, number in report["counts"].items()}
            assert killed.isdisjoint(counts)
            assert counts == dict.fromkeys(others, EVENTS)
            assert report["in_order"]
        await group.end()


async def test_id_in_use_is_refused(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_objections(monkeypatch, 20_000)
    with drawn(monkeypatch, 20_000, 20_000):
        async with (
            fastcoord.connect(config_of(server)) as first,
            fastcoord.connect(config_of(server)) as second,
        ):
            assert first.node_id == first.stats().node_id == 20_000
            assert second.node_id != 20_000
            assert first.stats().duplicate_node_ids == ()
    wait_for_objections(monkeypatch, 30_000)
    async with joined(server, 30_000, cluster=CLUSTER) as fixed:
        with drawn(monkeypatch, 30_000):
            async with fastcoord.connect(config_of(server)) as third:
                assert third.node_id != fixed.node_id


async def test_simultaneous_claims_are_settled(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with drawn(monkeypatch, *[20_000] * 8):
        nodes = await asyncio.gather(*(fastcoord.connect(config_of(server)) for _ in range(8)))
    try:
        # On a busy machine, a node may object after another one has joined.
        await until(lambda: len({node.node_id for node in nodes}) == 8)
        assert 20_000 in {node.node_id for node in nodes}
    finally:
        for node in nodes:
            await node.close()


async def test_drawn_id_is_not_defended(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_drawn, may_claim = asyncio.Event(), asyncio.Event()
    settle = own_id.OwnId.settle

    async def settle_later(own: own_id.OwnId) -> None:
        has_drawn.set()
        await may_claim.wait()
        await settle(own)

    with drawn(monkeypatch, 20_000, 20_000):
        with monkeypatch.context() as patch:
            patch.setattr(own_id.OwnId, "settle", settle_later)
            joining = asyncio.create_task(_connect(config_of(server)))
            await has_drawn.wait()
        async with fastcoord.connect(config_of(server)) as other:
            wait_for_objections(monkeypatch, 20_000)
            may_claim.set()
            async with await joining as node:
                assert other.node_id == 20_000 != node.node_id


async def test_late_objection_is_verified(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_incarnations(monkeypatch)
    has_asked, has_joined = asyncio.Event(), asyncio.Event()

    def note_question(frame: Frame) -> Frame:
        if is_note(frame, b"w"):
            has_asked.set()
        return frame

    async def hold_objection(frame: Frame) -> Frame:
        if is_note(frame, b"a"):
            await has_joined.wait()
        return frame

    async with (
        Proxy(server.host, server.port) as of_older,
        Proxy(server.host, server.port) as of_younger,
        # Without another node, the older one would not wait for objections.
        joined(server, 7, cluster=CLUSTER),
        AsyncExitStack() as stack,
    ):
        of_older.to_server.filter = note_question
        of_younger.to_client.filter = hold_objection
        with monkeypatch.context() as patch:
            patch.setattr("fastcoord.presence.claim.CLAIM_TIME", 60.0)
            with drawn(monkeypatch, 20_000, 20_000):
                joining = asyncio.create_task(_connect(config_of(of_older)))
                await has_asked.wait()
                patch.undo()
                younger = await stack.enter_async_context(fastcoord.connect(config_of(of_younger)))
        # The older node has objected, and has then lost its claim to the node that runs.
        older = await joining
        stack.push_async_callback(older.close)
        has_joined.set()
        await younger.ping(older.node_id)
        # What follows from the objection has happened when a third node has joined.
        async with fastcoord.connect(config_of(server)):
            assert younger.node_id == 20_000
            assert older.node_id != 20_000


async def test_asking_run_is_reported(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    count_incarnations(monkeypatch)
    is_joined = False

    def only_questions(frame: Frame) -> Frame | None:
        passes = not frame.is_message or (is_joined and (is_note(frame, b"w")))
        return frame if passes else None

    async with Proxy(server.host, server.port) as of_older:
        with drawn(monkeypatch, 20_000, 20_000):
            async with fastcoord.connect(config_of(of_older)) as older:
                events = older.subscribe()
                # The older node receives nothing of the younger one but its questions.
                of_older.to_client.filter = only_questions
                async with fastcoord.connect(config_of(server)) as younger:
                    assert older.node_id == younger.node_id == 20_000
                    is_joined = True
                    await younger.publish(AppEvent(1, b"dropped"))
                    await until(lambda: younger.node_id != 20_000)
                    assert await anext(events) == Missed(20_000, None, "gap")


async def test_closed_node_returns_its_id(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fastcoord.connect(config_of(server)):
        for _ in range(2):
            with drawn(monkeypatch, 20_000):
                async with fastcoord.connect(config_of(server)) as node:
                    assert node.node_id == 20_000


async def test_parted_nodes_change_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    async with parted_cluster() as cluster, AsyncExitStack() as stack:
        servers = cluster.servers
        cluster.part(2)
        with drawn(monkeypatch, 20_000, 20_000, 20_001):
            nodes = [
                await stack.enter_async_context(fastcoord.connect(config_of(servers[each])))
                for each in (0, 2, 1)
            ]
        assert [node.node_id for node in nodes] == [20_000, 20_000, 20_001]
        accounts = [Account(node, number) for number, node in enumerate(nodes)]
        stop = asyncio.Event()
        producers = [asyncio.create_task(each.produce(stop)) for each in accounts]
        await until(lambda: all(each.sent > 200 for each in accounts))
        await cluster.heal()
        await until(lambda: nodes[0].node_id != nodes[1].node_id)
        younger = max(nodes[:2], key=lambda node: node.stats().incarnation)
        assert younger.node_id != 20_000
        sent = [each.sent for each in accounts]
        await until(
            lambda: all(
                to.received[sender.number][-1:] > [sent[sender.number] + 200]
                for to in accounts
                for sender in accounts
                if to is not sender
            )
        )
        stop.set()
        await asyncio.gather(*producers)
        for node in nodes:
            await node.flush()
        await until(
            lambda: all(
                to.received[sender.number][-1] == sender.sent - 1
                for to in accounts
                for sender in accounts
                if to is not sender
            )
        )
        check(accounts, parted=accounts[1])
        for each in accounts[:2]:
            # Each has dropped what the other one sent under the id of both.
            assert Missed(20_000, None, "gap") in each.missed
        for node in nodes:
            await node.close()
        for each in accounts:
            await each.following


async def test_end_of_node_ends_change_of_id(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = CLUSTER | {"node_id": "auto"}
    config = fastcoord.parse_config(node_toml(server, cluster=cluster, max_reconnects=1))
    async with fastcoord.connect(config) as node:
        # An older run has this id, and the connection is lost for good while another is claimed.
        server.kill()
        await until(lambda: not node.is_connected)
        node._session._own_id.give_up(Answer(node.node_id, 1, 0, 0, 0, ()))
        await until(lambda: "the connection is lost" in str(node.health()))
        await until(lambda: node._session._own_id._change is None)
        gc.collect()
        assert [each for each in caplog.records if each.name == "asyncio"] == []


async def test_missing_presence_right_fails_join() -> None:
    rights = 'publish: {deny: ["fastcoord.agora.fastcoord"]}'
    users = f'authorization {{ users: [{{user: "a", password: "b", permissions: {{{rights}}}}}] }}'
    with LocalServer(extra_config=users) as server:
        cluster = CLUSTER | {"node_id": "auto"}
        config = fastcoord.parse_config(node_toml(server, cluster=cluster, user="a", password="b"))
        with pytest.raises(
            fastcoord.PermissionDenied, match=r"to publish on .*fastcoord: grant it"
        ):
            await fastcoord.connect(config)
