"""The blocking API: threads, timeouts, the end of nodes and subscriptions."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import fastcoord
from fastcoord import AppEvent, EmailPush, Missed, NodeClosed, PeerDown, RequestTimeout, blocking
from fastcoord.server import LocalServer
from support.cluster.accounting import assert_sums
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.wait import wait_until

Cluster = dict[str, Any]
SECONDS = 60.0
NARROW: dict[str, Any] = {"client": 2, "batch_bytes": 256}


@contextmanager
def joined(server: LocalServer, node_id: int, **settings: Any) -> Iterator[blocking.Node]:
    config = fastcoord.parse_config(node_toml(server, **settings))
    with blocking.connect(config, node_id=node_id, timeout=SECONDS) as node:
        yield node
        assert_sums(node.stats())
    assert_sums(node.stats())


@pytest.fixture
def pair(
    shared_server: LocalServer, cluster: Cluster
) -> Iterator[tuple[blocking.Node, blocking.Node]]:
    with (
        joined(shared_server, 1, cluster=cluster) as one,
        joined(shared_server, 2, cluster=cluster) as two,
    ):
        yield one, two


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run a function in several threads; re-raise the first of their errors."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def full(number: int) -> AppEvent:
    """Return an event that fills a batch of ``NARROW``."""
    return AppEvent(number, b"x" * 200)


def test_events_arrive_in_order(pair: tuple[blocking.Node, blocking.Node]) -> None:
    one, two = pair
    with two.subscribe(timeout=SECONDS) as events:
        sent = [EmailPush(1, number, 0) for number in range(1000)]
        one.publish(*sent[:10])
        one.publish_many(sent[10:500])
        for event in sent[500:]:
            one.publish(event)
        one.flush()
        iterator = iter(events)
        assert [next(iterator) for _ in sent] == sent
        assert (events.stats().delivered, two.stats().received) == (1000, 1000)
        assert events.sender == 1
    assert one.ping(2) < SECONDS
    assert [peer.node_id for peer in one.peers()] == [2]
    assert one.flush(peers=True) == {2}
    assert one.flush(timeout=SECONDS, peers=True) == {2}
    assert one.health()


def test_threads_share_node(pair: tuple[blocking.Node, blocking.Node]) -> None:
    one, two = pair
    count = 3000
    with two.subscribe(timeout=SECONDS) as events:

        def publish(thread: int) -> None:
            for number in range(count):
                if number % 3:
                    one.publish(EmailPush(thread, number, 0))
                else:
                    one.publish(EmailPush(thread, number, 0), AppEvent(1, b"x"))

        in_threads(8, publish)
        one.flush()
        received: dict[int, list[int]] = {each: [] for each in range(8)}
        apart = 0
        for batch in events.batches():
            for event in batch:
                if isinstance(event, EmailPush):
                    received[event.account_id].append(event.email_id)
                else:
                    apart += 1
            if apart == 8 * count // 3 and all(len(got) == count for got in received.values()):
                break
        assert received == {each: list(range(count)) for each in range(8)}


def test_threads_share_subscription(pair: tuple[blocking.Node, blocking.Node]) -> None:
    one, two = pair
    count = 20_000
    taken: list[list[int]] = [[] for _ in range(4)]
    with two.subscribe(timeout=SECONDS) as events:

        def take(thread: int) -> None:
            source = events.batches() if thread == 3 else ([event] for event in events)
            for batch in source:
                for event in batch:
                    if event.email_id >= count:
                        return
                    taken[thread].append(event.email_id)

        def work(number: int) -> None:
            if number < 4:
                take(number)
                return
            one.publish_many([EmailPush(1, each, 0) for each in range(count)])
            # Each in a message of its own, so that each reader gets one.
            for each in range(4):
                one.publish(EmailPush(1, count + each, 0))
                one.flush()

        in_threads(5, work)
    assert sorted(itertools.chain(*taken)) == list(range(count))
    assert all(numbers == sorted(numbers) for numbers in taken)


def test_next_times_out(pair: tuple[blocking.Node, blocking.Node]) -> None:
    one, two = pair
    with two.subscribe(timeout=0.05) as events:
        for wait in (
            events.next,
            lambda: events.next(timeout=0),
            lambda: next(iter(events)),
            lambda: next(events.batches()),
            lambda: next(events.batches(timeout=0.01)),
        ):
            with pytest.raises(RequestTimeout, match="no event arrived within"):
                wait()
        one.publish(EmailPush(1, 2, 3))
        one.flush()
        assert events.next(timeout=SECONDS) == EmailPush(1, 2, 3)


def test_iteration_continues_after_timeout(pair: tuple[blocking.Node, blocking.Node]) -> None:
    one, two = pair
    with two.subscribe(timeout=0.05) as events:
        iterator = iter(events)
        with pytest.raises(TimeoutError):
            next(iterator)
        one.publish(EmailPush(1, 2, 3))
        wait_until(lambda: events.stats().buffered)
        assert next(iterator) == EmailPush(1, 2, 3)


def test_publish_times_out(server: LocalServer, cluster: Cluster) -> None:
    with joined(server, 1, cluster=cluster, capacity=NARROW) as node:
        server.kill()
        wait_until(lambda: not node.is_connected)
        published = 0

        def fill() -> None:
            nonlocal published
            for published in range(10):
                node.publish(full(published), timeout=0.05)

        with pytest.raises(RequestTimeout, match=r"no capacity .* within 0\.05 s"):
            fill()
        accepted = node.stats().accepted
        assert accepted == published
        with pytest.raises(RequestTimeout, match="flush"):
            node.flush(timeout=0.05)
        node.publish_nowait(full(10))
        with pytest.raises(RequestTimeout, match="a part of the events"):
            node.publish_many([EmailPush(1, 2, 3)] * 1000, timeout=0.05)
        server.restart()
        node.publish(full(11), timeout=SECONDS)
        node.flush(timeout=SECONDS)
        stats = node.stats()
        assert stats.confirmed + stats.discarded == stats.accepted > accepted


def test_waiting_publishers_get_capacity(server: LocalServer, cluster: Cluster) -> None:
    with (
        joined(server, 1, cluster=cluster, capacity=NARROW) as one,
        joined(server, 2, cluster=cluster) as two,
        two.subscribe(timeout=SECONDS) as events,
    ):
        # From its first message on, the sender's events are counted exactly.
        wait_until(lambda: one.peers() and two.peers())
        server.kill()
        wait_until(lambda: not one.is_connected)
        started = threading.Barrier(5)

        def work(number: int) -> None:
            started.wait(SECONDS)
            if number == 4:
                wait_until(lambda: one.stats().waiting_batches == 2)
                server.restart()
                return
            for each in range(20):
                one.publish(full(number * 20 + each))

        in_threads(5, work)
        one.flush(timeout=SECONDS)
        assert one.stats().confirmed == 80
        kinds: list[int] = []
        missed = 0
        while len(kinds) + missed < 80:
            event = events.next()
            if isinstance(event, AppEvent):
                kinds.append(event.kind)
            elif isinstance(event, Missed):
                # The receiver may have been disconnected for longer than the sender.
                missed += event.events or 0
        assert len(set(kinds)) == len(kinds) == 80 - missed


@pytest.mark.parametrize("what", ["subscription", "node"])
def test_close_ends_waiting_iteration(pair: tuple[blocking.Node, blocking.Node], what: str) -> None:
    _, two = pair
    events = two.subscribe()
    ended: list[list[object]] = []
    started = threading.Barrier(4)

    def read() -> None:
        iterator = iter(events)
        started.wait(SECONDS)
        ended.append(list(iterator))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait(SECONDS)
    wait_until(lambda: events._consumer.ring.waker is not None)
    assert events.take_nowait() is None
    (events if what == "subscription" else two).close()
    for thread in threads:
        thread.join(SECONDS)
    assert ended == [[], [], []]


def test_calls_after_close_raise(shared_server: LocalServer, cluster: Cluster) -> None:
    with (
        joined(shared_server, 1, cluster=cluster) as one,
        joined(shared_server, 2, cluster=cluster) as two,
    ):
        events = one.subscribe(timeout=SECONDS)
        two.publish(EmailPush(1, 2, 3))
        wait_until(lambda: events.stats().buffered)
        assert one.close() == 0
        assert one.close() == 0
        event = EmailPush(1, 2, 3)
        for call in (
            lambda: one.publish(event),
            lambda: one.publish_many([event]),
            lambda: one.publish_nowait(event),
            one.flush,
            one.subscribe,
            lambda: one.ping(2),
        ):
            with pytest.raises(NodeClosed):
                call()
        assert one.stats().accepted == 0
        assert events.next() == event
        with pytest.raises(NodeClosed, match="no event is buffered"):
            events.next()
        assert list(events) == []
        events.close()
        with pytest.raises(fastcoord.SubscriptionError):
            events.next()
        with pytest.raises(fastcoord.SubscriptionError):
            iter(events)


def test_close_returns_unconfirmed(server: LocalServer, cluster: Cluster) -> None:
    with joined(server, 1, cluster=cluster) as node:
        server.kill()
        wait_until(lambda: not node.is_connected)
        node.publish(EmailPush(1, 2, 3), EmailPush(1, 2, 4))
        found: list[int] = []
        in_threads(3, lambda _: found.append(node.close(timeout=0.2)))
        assert found == [2, 2, 2]


def test_wait_on_loop_thread_raises(pair: tuple[blocking.Node, blocking.Node]) -> None:
    one, _ = pair
    raised: list[BaseException] = []
    done = threading.Event()

    def callback() -> None:
        try:
            one.flush()
        except fastcoord.WrongLoop as error:
            raised.append(error)
        one.publish_nowait(EmailPush(1, 2, 3))
        done.set()

    one._thread.submit(callback)
    assert done.wait(SECONDS)
    assert len(raised) == 1
    one.flush()
    assert one.stats().confirmed == 1


def test_failed_connect_leaves_nothing(cluster: Cluster) -> None:
    with LocalServer() as gone:
        toml = node_toml(gone, cluster=cluster, max_reconnects=1)
    before = set(threading.enumerate())
    with pytest.raises(fastcoord.ConnectError):
        blocking.connect(fastcoord.parse_config(toml), node_id=1)
    config = fastcoord.parse_config(toml.replace("max-reconnects = 1", ""))
    with pytest.raises(fastcoord.ConnectError):
        blocking.connect(config, node_id=1, timeout=0.2)
    assert not set(threading.enumerate()) - before


def test_dropped_node_sends_events(shared_server: LocalServer, cluster: Cluster) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    with (
        joined(shared_server, 2, cluster=cluster) as two,
        two.subscribe(peers=True, timeout=SECONDS) as events,
    ):
        one = blocking.connect(config, node_id=1)
        thread = one._thread
        one.publish(EmailPush(1, 2, 3))
        kept = [one]
        del one
        with pytest.warns(ResourceWarning, match="never closed: use `with`"):
            kept.clear()
        while True:
            event = events.next()
            if event == EmailPush(1, 2, 3):
                break
        assert isinstance(events.next(), PeerDown)
        thread.join(SECONDS)
        assert thread.is_ended


def test_dropped_subscription_is_closed(pair: tuple[blocking.Node, blocking.Node]) -> None:
    one, _ = pair
    kept = [one.subscribe()]
    assert len(one.stats().subscriptions) == 1
    with pytest.warns(ResourceWarning, match="dropped without close"):
        kept.clear()
    wait_until(lambda: not one.stats().subscriptions)


def test_iterator_keeps_node_open(shared_server: LocalServer, cluster: Cluster) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    with joined(shared_server, 2, cluster=cluster) as two:
        events = iter(blocking.connect(config, node_id=1).subscribe(timeout=SECONDS))
        gc.collect()
        two.publish(EmailPush(1, 2, 3))
        assert next(events) == EmailPush(1, 2, 3)
        # A recorded warning would keep the subscription alive.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del events
            gc.collect()
        wait_until(lambda: not any(peer.is_up for peer in two.peers()))


def test_lost_connection_ends_iteration(server: LocalServer, cluster: Cluster) -> None:
    with joined(server, 1, cluster=cluster, max_reconnects=1) as node:
        events = node.subscribe(timeout=SECONDS)
        server.kill()
        with pytest.raises(fastcoord.ConnectionLost):
            list(events)
        with pytest.raises(fastcoord.ConnectionLost):
            events.next()
        with pytest.raises(fastcoord.ConnectionLost):
            node.flush()
        events.close()


def test_stream_is_replayed(shared_jetstream_server: LocalServer, cluster: Cluster) -> None:
    async def add_stream() -> None:
        async with PlainPeer(shared_jetstream_server.url) as peer:
            await peer.client.jetstream().add_stream(
                name="BLOCKING", subjects=[cluster["subject"]], duplicate_window=120
            )

    asyncio.run(add_stream())
    settings = {**cluster, "stream": "BLOCKING"}
    with (
        joined(shared_jetstream_server, 1, cluster=settings) as one,
        joined(shared_jetstream_server, 2, cluster=settings) as two,
    ):
        sent = [EmailPush(1, number, 0) for number in range(500)]
        one.publish_many(sent)
        one.flush(timeout=SECONDS)
        with two.subscribe(kinds=[EmailPush], since=0, timeout=SECONDS) as events:
            assert [events.next() for _ in sent] == sent
            assert events.sequence is not None
            last = events.sequence
        one.publish(EmailPush(2, 0, 0))
        with two.subscribe(kinds=[EmailPush], since=last, timeout=SECONDS) as events:
            assert events.next() == EmailPush(2, 0, 0)
