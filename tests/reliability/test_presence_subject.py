"""What is not an event travels on the presence subject, in numbers that grow with the nodes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

import fastcoord
from fastcoord import AppEvent, Node, PermissionDenied
from fastcoord.presence.answers import ANSWER_BURST, ANSWERS_PER_SECOND
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted
from support.cluster.crowd import crowd
from support.cluster.nodes import joined, node_toml
from support.cluster.plain_peer import PlainPeer
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.inputs.questions import INCARNATION, who
from support.scale import repeats
from support.wait import until

SUBJECT = "presence.test"
PRESENCE = f"{SUBJECT}.fastcoord"
CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "200ms", "subject": SUBJECT}


@contextlib.asynccontextmanager
async def nodes_of(server: LocalServer, count: int, cluster: dict[str, Any]) -> Any:
    """Connect nodes 1 to ``count`` one after the other."""
    async with contextlib.AsyncExitStack() as stack:
        config = fastcoord.parse_config(node_toml(server, cluster=cluster))
        yield [
            await stack.enter_async_context(fastcoord.connect(config, node_id=number))
            for number in range(1, count + 1)
        ]


def are_acquainted(nodes: list[Node]) -> bool:
    return all(sum(peer.is_up is True for peer in node.peers()) == len(nodes) - 1 for node in nodes)


async def test_idle_nodes_leave_events_subject_alone(server: LocalServer) -> None:
    count = repeats(10, long=60)
    async with (
        PlainPeer(server.url, SUBJECT) as stalwart,
        PlainPeer(server.url, PRESENCE) as observer,
    ):
        async with nodes_of(server, count, CLUSTER) as nodes:
            await until(lambda: are_acquainted(nodes))
            await until(lambda: len(observer.messages) > 20 * count)
            server.restart()
            await until(lambda: all(node.stats().reconnects >= 1 for node in nodes))
            await until(lambda: are_acquainted(nodes))
        assert stalwart.messages == []


async def test_delivered_check_of_publish_right_is_ignored(server: LocalServer) -> None:
    """Servers before 2.11 deliver it, and a node that has sent only that has not joined."""

    def as_old_server(frame: Frame) -> Frame | None:
        if frame.subject == SUBJECT:
            return frame.alter(header=frame.header.replace(b"Nats-Trace-", b"Other-"))
        return None if frame.subject.startswith(PRESENCE) else frame

    async with (
        Proxy(server.host, server.port) as proxy,
        PlainPeer(server.url, SUBJECT) as stalwart,
        joined(server, 2, cluster=CLUSTER) as peer,
    ):
        proxy.to_server.filter = as_old_server
        async with joined(proxy, 1, cluster=CLUSTER):
            await until(lambda: stalwart.messages)
            await peer.flush()
            assert peer.peers() == ()
            assert not peer.stats().missed_unknown


@pytest.mark.parametrize("count", [5, 10, 20, 40])
async def test_restart_costs_messages_in_proportion(server: LocalServer, count: int) -> None:
    cluster = {**CLUSTER, "heartbeat": "30s"}
    async with nodes_of(server, count, cluster) as nodes:
        await until(lambda: are_acquainted(nodes))
        server.restart()
        await until(lambda: all(node.stats().reconnects == 1 for node in nodes))
        await until(lambda: all(node.stats().connection == "connected" for node in nodes))
        messages = server.monitor("varz")["in_msgs"]
        # A hello, a test of the right to publish, and about four answers for each node.
        assert messages <= 8 * count


@pytest.mark.parametrize("direction", ["publish", "subscribe"])
async def test_refused_presence_names_both_remedies(direction: str) -> None:
    rights = {"publish": ">", "subscribe": ">", direction: {"deny": [PRESENCE]}}
    user = {"user": "a", "password": "b", "permissions": rights}
    with LocalServer(extra_config=f"authorization {{ users: {json.dumps([user])} }}") as server:
        with pytest.raises(PermissionDenied) as caught:
            async with joined(server, 1, cluster=CLUSTER, user="a", password="b"):
                pass
        assert (caught.value.subject, caught.value.direction) == (PRESENCE, direction)
        text = str(caught.value)
        assert f'{direction}: {{ allow: ["{PRESENCE}"] }}' in text
        assert f'cluster.presence-subject = "{SUBJECT}"' in text


async def test_refused_events_are_found_without_event(server: LocalServer) -> None:
    granted = [PRESENCE, f"{PRESENCE}.>"]
    rights = {"publish": {"allow": granted}, "subscribe": ">"}
    user = {"user": "a", "password": "b", "permissions": rights}
    other = {"user": "other", "password": "b"}
    config = f"authorization {{ users: {json.dumps([user, other])} }}"
    for grants in (granted, [PRESENCE]):
        granted[:] = grants
        with LocalServer(extra_config=config) as limited:
            with pytest.raises(PermissionDenied) as caught:
                async with joined(limited, 1, cluster=CLUSTER, user="a", password="b"):
                    pass
            assert (caught.value.subject, caught.value.direction) == (SUBJECT, "publish")


async def test_two_subjects_are_enough() -> None:
    granted = {"allow": [SUBJECT, PRESENCE]}
    user = {"user": "a", "password": "b", "permissions": {"publish": granted, "subscribe": granted}}
    login = {"user": "a", "password": "b"}
    with LocalServer(extra_config=f"authorization {{ users: {json.dumps([user])} }}") as server:
        cluster = {"subject": SUBJECT, "heartbeat": "10s"}
        async with crowd(server, 3, cluster=cluster, **login) as nodes:
            first = nodes.nodes[0]
            await nodes.ledger.publish(first, 10)
            assert await first.flush(peers=True) == {2, 3}
            assert await first.ping(2) > 0
            await nodes.even()


@contextlib.contextmanager
def server_with_one_subject() -> Iterator[tuple[LocalServer, dict[str, Any]]]:
    """Yield a server, and the settings of a user whose rights are those of one subject."""
    login = {"user": "a", "password": "b"}
    user = {**login, "permissions": {"publish": SUBJECT, "subscribe": SUBJECT}}
    with LocalServer(extra_config=f"authorization {{ users: {json.dumps([user])} }}") as server:
        yield server, {"cluster": {**CLUSTER, "presence_subject": SUBJECT}, **login}


def assert_nothing_is_missed(node: Node) -> None:
    stats = node.stats()
    assert (stats.malformed, stats.missed_unknown, stats.pace) == (0, {}, 0.0)


async def test_one_subject_is_enough() -> None:
    with server_with_one_subject() as (server, settings):
        async with joined(server, 1, **settings) as first, joined(server, 2, **settings) as second:
            await until(lambda: are_acquainted([first, second]))
            await second.flush()
            assert_nothing_is_missed(first)
            assert_nothing_is_missed(second)


async def test_lone_node_with_one_subject_misses_nothing() -> None:
    """The server answers its hello on the events' subject that nobody has received it."""
    answers = []

    def note(frame: Frame) -> Frame:
        if frame.header.startswith(b"NATS/1.0 503"):
            answers.append(frame.subject)
        return frame

    with server_with_one_subject() as (server, settings):
        async with Proxy(server.host, server.port) as proxy:
            proxy.to_client.filter = note
            async with joined(proxy, 1, **settings) as node:
                await until(lambda: answers)
                await node.flush()
                assert set(answers) == {SUBJECT}
                assert_nothing_is_missed(node)


async def test_presence_may_use_events_subject(server: LocalServer) -> None:
    cluster = {"subject": SUBJECT, "presence_subject": SUBJECT, "heartbeat": "2s"}
    async with crowd(server, 3, cluster=cluster) as nodes:
        async with nodes.load():
            await nodes.progress()
            server.restart()
            await until(lambda: all(node.stats().reconnects >= 1 for node in nodes.nodes))
            await nodes.progress()
        await nodes.even()
        first = nodes.nodes[0]
        assert await first.flush(peers=True) == {2, 3}
        assert await first.ping(2) > 0


async def test_missing_presence_is_logged_once(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    # With a setting that differs, neither node receives the presence of the other one.
    other = {**CLUSTER, "presence_subject": "elsewhere"}

    def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        return [line for line in found if "nothing of it" in line]

    async with (
        accounted(server, 1, cluster=CLUSTER) as node,
        accounted(server, 2, cluster=other) as peer,
        accounted(server, 3, cluster=CLUSTER) as well,
    ):
        while not lines():
            for each in (peer, well):
                await each.publish(AppEvent(1, b""))
            await asyncio.sleep(0.02)
        before = node.stats().received
        while node.stats().received < before + 100:
            for each in (peer, well):
                await each.publish(AppEvent(1, b""))
            await asyncio.sleep(0.02)
        own = [line for line in lines() if line.startswith("node 1: ")]
        assert len(own) == 1
        assert f"events of node 2 arrive on {SUBJECT}, but nothing of it on {PRESENCE}" in own[0]
        assert f'cluster.presence-subject = "{SUBJECT}"' in own[0]


async def test_flood_of_questions_is_answered_sparingly(server: LocalServer) -> None:
    reply = f"{PRESENCE}.2.{INCARNATION}"
    count = 20_000
    async with (
        PlainPeer(server.url, reply) as asker,
        joined(server, 1, cluster=CLUSTER) as node,
        accounted(server, 3, cluster=CLUSTER) as peer,
    ):
        block, payload = who(1, protocol="fastcoord-1")
        fields = dict(line.split(b":", 1) for line in block.split(b"\r\n")[1:-2])
        headers = {name.decode(): value.decode() for name, value in fields.items()}
        for _ in range(count):
            await asker.client.publish(PRESENCE, payload, reply=reply, headers=headers)
        await asker.flush()
        await until(lambda: node.stats().unanswered + len(asker.messages) >= count)
        assert ANSWER_BURST <= len(asker.messages) <= ANSWER_BURST + 60 * ANSWERS_PER_SECOND
        # The limit leaves answers for others after a moment.
        assert await peer.ping(1) > 0


async def test_answer_of_another_question_is_ignored(server: LocalServer) -> None:
    async with (
        PlainPeer(server.url, SUBJECT) as forger,
        accounted(server, 1, cluster=CLUSTER, timeout={"request": "500ms"}) as node,
    ):
        incarnation = node.stats().incarnation
        headers = {"F": "1ea7.0.0", "Q": "1234.1.A.0.0"}
        for _ in range(100):
            await forger.client.publish(f"{PRESENCE}.1.{incarnation}", b"\x07", headers=headers)
        await forger.flush()
        with pytest.raises(fastcoord.RequestTimeout):
            await node.ping(7)

        async def has_no_peers() -> bool:
            # A busy machine may need longer than the timeout.
            with contextlib.suppress(fastcoord.RequestTimeout):
                return await node.flush(peers=True) == frozenset()
            return False

        await until(has_no_peers)
        await node.publish(AppEvent(1, b""))
