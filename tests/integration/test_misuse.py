"""Calls from a forked child, another thread or another event loop."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import EmailPush, Node, WrongLoop
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, drain
from support.cluster.nodes import node_toml
from support.loops import LOOPS, runner
from support.wait import until

Cluster = dict[str, Any]
FORKING = Path(__file__).parents[1] / "support/processes/forking_process.py"
EVENT = EmailPush(1, 2, 3)

CALLS: dict[str, Callable[[Node], Any]] = {
    "publish": lambda node: node.publish(EVENT),
    "publish_many": lambda node: node.publish_many([EVENT]),
    "flush": Node.flush,
    "subscribe": Node.subscribe,
    "stats": Node.stats,
    "peers": Node.peers,
    "ping": lambda node: node.ping(2),
    "close": Node.close,
}


def call(name: str, node: Node) -> None:
    """Make a call and run a coroutine to its first step."""
    result = CALLS[name](node)
    if asyncio.iscoroutine(result):
        result.send(None)


ENDINGS = [
    "exit",
    "collect",
    pytest.param(
        "unwind",
        marks=pytest.mark.skipif(
            sys.version_info >= (3, 14),
            reason="from Python 3.14 on, a forked child cannot go on running its parent's loop",
        ),
    ),
]
"""How the child ends: in the middle of a task, without the node, or by an exception."""


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("loop", LOOPS)
async def test_fork_does_not_disturb_parent(
    shared_server: LocalServer, cluster: Cluster, tmp_path: Path, loop: str, ending: str
) -> None:
    config = tmp_path / "node.toml"
    # No timer of the node wakes its event loop meanwhile.
    cluster = {**cluster, "heartbeat": "60s"}
    config.write_text(node_toml(shared_server, cluster=cluster), encoding="utf-8")
    async with (
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(FORKING), str(config), loop, ending),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        result = json.loads(output)
        assert set(result["child"].values()) == {
            "NodeClosed: forked: connect again in this process"
        }
        assert result["status"] == 7
        assert result["woken_after"] < 10
        assert (result["confirmed"], result["reconnects"]) == (result["published"], 0)
        await until(lambda: receiver.stats().received == result["published"])
        numbers = [each.email_id for each in drain(events)]
        assert numbers == list(range(result["published"]))
        assert receiver.stats().missed == {}


@pytest.mark.parametrize("name", CALLS)
async def test_call_from_other_thread_raises(
    shared_server: LocalServer, cluster: Cluster, name: str
) -> None:
    async with accounted(shared_server, 1, cluster=cluster) as node:
        # Also while a flush is scheduled, when `publish` does not ask for the running loop.
        await node.publish(EVENT)
        with pytest.raises(WrongLoop, match="run_coroutine_threadsafe"):
            await asyncio.to_thread(call, name, node)
        assert node.stats().accepted == 1


@pytest.mark.parametrize("name", CALLS)
async def test_call_from_other_loop_raises(
    shared_server: LocalServer, cluster: Cluster, name: str
) -> None:
    async def elsewhere(node: Node) -> None:
        call(name, node)

    async with accounted(shared_server, 1, cluster=cluster) as node:
        with pytest.raises(WrongLoop, match="belongs to another event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere(node))
        assert node.stats().accepted == 0


def test_call_from_next_loop_raises(shared_server: LocalServer, cluster: Cluster) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def elsewhere(name: str, node: Node) -> None:
        call(name, node)

    async def connected() -> Node:
        return await fastcoord.connect(config, node_id=1)

    node = first.run_until_complete(connected())
    for name in CALLS:
        with pytest.raises(WrongLoop):
            second.run_until_complete(elsewhere(name, node))
    first.run_until_complete(node.publish(EVENT))
    assert first.run_until_complete(node.close()) == 0
    first.close()
    second.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_moved_loop_accepts_every_thread(
    shared_server: LocalServer, cluster: Cluster, loop: str
) -> None:
    """Connect in this thread, run the loop in another, and publish in both and a third."""
    count = 20_000

    async def consume() -> list[Any]:
        async with (
            accounted(shared_server, 2, cluster=cluster) as receiver,
            receiver.subscribe() as events,
        ):
            node, moved, thread = await asyncio.to_thread(start)
            others = [
                threading.Thread(target=publish, args=(node, account)) for account in range(1, 4)
            ]
            for other in others:
                other.start()
            publish(node, 0)
            for other in others:
                await asyncio.to_thread(other.join)
            flushed = asyncio.run_coroutine_threadsafe(finish(node), moved)
            assert await asyncio.wrap_future(flushed) == 0
            moved.call_soon_threadsafe(moved.stop)
            await asyncio.to_thread(thread.join)
            moved.close()
            await until(lambda: receiver.stats().received == 4 * count)
            assert receiver.stats().missed == {}
            return drain(events)

    def start() -> tuple[Node, asyncio.AbstractEventLoop, threading.Thread]:
        config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
        moved = new_loop(loop)

        async def connected() -> Node:
            return await fastcoord.connect(config, node_id=1)

        node = moved.run_until_complete(connected())
        thread = threading.Thread(target=moved.run_forever)
        thread.start()
        return node, moved, thread

    def publish(node: Node, account: int) -> None:
        for number in range(count):
            node.publish_nowait(EmailPush(account, number, 0))

    async def finish(node: Node) -> int:
        await node.publish()
        return await node.close()

    received = runner("asyncio")(consume())
    for account in range(4):
        numbers = [each.email_id for each in received if each.account_id == account]
        assert numbers == list(range(count))


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


async def test_unclosed_node_warns(shared_server: LocalServer, cluster: Cluster) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    node = await fastcoord.connect(config, node_id=1)
    session = weakref.ref(node._session)
    async with accounted(shared_server, 2, cluster=cluster) as peer:
        await until(lambda: [each.is_up for each in peer.peers()] == [True])
        with pytest.warns(ResourceWarning, match=r"Node 1 .* was never closed"):
            del node
        await until(lambda: gc.collect() >= 0 and session() is None)
        await until(lambda: [each.is_up for each in peer.peers()] == [False])


async def test_subscription_keeps_node(shared_server: LocalServer, cluster: Cluster) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    events = (await fastcoord.connect(config, node_id=1)).subscribe()
    async with accounted(shared_server, 2, cluster=cluster) as peer:
        gc.collect()
        await peer.publish(EVENT)
        assert await anext(aiter(events)) == EVENT
    node = events._consumer.node
    assert isinstance(node, Node)
    await node.close()


@pytest.mark.parametrize("name", ["publish", "subscribe", "node_id", "close"])
def test_connect_without_await_is_reported(shared_server: LocalServer, name: str) -> None:
    config = fastcoord.parse_config(node_toml(shared_server))
    with pytest.raises(AttributeError, match=rf"no {name}: write: async with"):
        getattr(fastcoord.connect(config), name)


async def test_connect_in_wrong_statement_is_reported(shared_server: LocalServer) -> None:
    config = fastcoord.parse_config(node_toml(shared_server))
    with (
        pytest.raises(TypeError, match="takes async with or await"),
        fastcoord.connect(config),
    ):
        pass
    with pytest.raises(TypeError, match="takes async with or await"):
        async for _ in fastcoord.connect(config):  # type: ignore[attr-defined]
            pass


def test_unused_connect_warns(shared_server: LocalServer) -> None:
    config = fastcoord.parse_config(node_toml(shared_server))
    with pytest.warns(RuntimeWarning, match="never awaited: write: async with"):
        fastcoord.connect(config)


async def test_published_class_is_named(shared_server: LocalServer, cluster: Cluster) -> None:
    async with accounted(shared_server, 1, cluster=cluster) as node:
        for publish in (node.publish, node.publish_nowait):
            with pytest.raises(TypeError, match=r"write StateChange\(\.\.\.\)"):
                publish(fastcoord.StateChange)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"write ReloadBlockedIps\(\)"):
                publish(fastcoord.ReloadBlockedIps)  # type: ignore[arg-type]
