"""The blocking cache: threads, interrupts and forks."""

import math
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest

import fastcoord
from fastcoord import StateChange, blocking
from fastcoord.cache import BlockingCache, Cache
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.wait import wait_until


class Database:
    """Values by key, and a loader that can be stopped."""

    def __init__(self) -> None:
        self.rows: dict[int, Any] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.loads = 0
        self.threads: set[int] = set()

    def load(self, key: int) -> Any:
        self.loads += 1
        self.threads.add(threading.get_ident())
        value = self.rows.get(key)
        assert self.gate.wait(120)
        if isinstance(value, BaseException):
            raise value
        return value


def keys_of(event: Any) -> list[int]:
    return [event.account_id]


def connected(server: LocalServer, node_id: int, subject: str) -> blocking.Node:
    cluster = {"subject": subject, "heartbeat": "60s"}
    config = fastcoord.parse_config(node_toml(server, cluster=cluster))
    return blocking.connect(config, node_id=node_id)


@contextmanager
def two_caches(
    server: LocalServer, subject: str, **settings: Any
) -> Iterator[tuple[Database, Any, Any]]:
    database = Database()
    with (
        connected(server, 1, subject) as one,
        connected(server, 2, subject) as two,
        BlockingCache(one, database.load, keys=keys_of, **settings) as first,
        BlockingCache(two, database.load, keys=keys_of, **settings) as second,
    ):
        yield database, first, second


def test_event_drops_blocking_entry(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-drops") as (database, first, second):
        database.rows[7] = "old"
        assert [first.get(7), first.get(7), second.get(7)] == ["old"] * 3
        database.rows[7] = "new"
        second.publish(StateChange(7, 1, 1))
        assert second.get(7) == "new"
        wait_until(lambda: first.get(7) == "new")
        assert first.stats().drops == {"event": 1}
        # Loaders run in the threads that read.
        assert database.threads == {threading.get_ident()}


def test_event_is_processed_without_reads(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-idle") as (_, first, second):
        first.get(7)
        second.publish(StateChange(7, 1, 1))
        wait_until(lambda: not first._coherence._storage)


def test_threads_share_load(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-share") as (database, cache, _):
        database.gate.clear()
        database.rows[7] = "value"
        with ThreadPoolExecutor(8) as pool:
            reads = [pool.submit(cache.get, 7) for _ in range(8)]
            wait_until(lambda: cache.stats().joined == 7)
            database.gate.set()
            assert [read.result(120) for read in reads] == ["value"] * 8
        assert database.loads == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [(KeyError("gone"), KeyError), (KeyboardInterrupt(), fastcoord.FastcoordError)],
)
def test_failure_wakes_all_threads(
    shared_server: LocalServer, failure: BaseException, error: type[Exception]
) -> None:
    with two_caches(shared_server, "blocking-failure") as (database, cache, _):
        database.gate.clear()
        database.rows[7] = failure
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(cache.get, 7)
            wait_until(lambda: cache.stats().loads == 1)
            others = [pool.submit(cache.get, 7) for _ in range(3)]
            wait_until(lambda: cache.stats().joined == 3)
            database.gate.set()
            wait([first, *others], 120)
        assert isinstance(first.exception(), type(failure))
        assert [type(other.exception()) for other in others] == [error] * 3
        database.rows[7] = "there"
        assert cache.get(7) == "there"


def test_read_times_out_alone(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-timeout") as (database, cache, _):
        database.gate.clear()
        database.rows[7] = "value"
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(cache.get, 7)
            wait_until(lambda: cache.stats().loads == 1)
            with pytest.raises(fastcoord.RequestTimeout):
                cache.get(7, timeout=0.01)
            database.gate.set()
            assert first.result(120) == "value"
        assert cache.get(7, timeout=0) == "value"


def test_overtaken_blocking_load_is_not_kept(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-overtaken") as (database, cache, _):
        database.gate.clear()
        database.rows[7] = "old"
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(cache.get, 7)
            wait_until(lambda: cache.stats().loads == 1)
            database.rows[7] = "new"
            cache.invalidate(7)
            database.gate.set()
            assert read.result(120) == "new"
        assert cache.stats().overtaken == 1


def test_loader_reads_own_key(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-own") as (database, cache, _):
        database.load = None  # not called
        cache._load = cache.get
        with pytest.raises(fastcoord.FastcoordError, match="the load of 7 reads its own key"):
            cache.get(7)


def test_disconnected_blocking_cache_serves_nothing(server: LocalServer) -> None:
    with two_caches(server, "blocking-absence") as (database, cache, _):
        cache.get(7)
        server.kill()
        wait_until(lambda: not cache.stats().is_following)
        loads = database.loads
        cache.get(7)
        cache.get(7)
        assert database.loads == loads + 2
        server.start()
        wait_until(lambda: cache.stats().is_following)
        assert cache.stats().entries == 0


def test_closed_node_ends_blocking_caching(shared_server: LocalServer) -> None:
    database = Database()
    with connected(shared_server, 1, "blocking-ends") as node:
        cache = BlockingCache(node, database.load, keys=keys_of)
        with pytest.raises(fastcoord.FastcoordError, match="use `with`"):
            cache.get(7)
        with cache:
            cache.get(7)
            node.close()
            wait_until(lambda: not cache.stats().is_following)
            cache.get(7)
            assert database.loads == 2
        with pytest.raises(fastcoord.FastcoordError, match="the cache is closed"):
            cache.get(7)


def test_asynchronous_loader_is_refused(shared_server: LocalServer) -> None:
    async def load(key: int) -> int:
        return key

    with connected(shared_server, 1, "blocking-refused") as node:
        with pytest.raises(TypeError, match="load must be an ordinary function"):
            BlockingCache(node, load, keys=keys_of)
        with pytest.raises(TypeError, match=r"Cache takes a node of fastcoord\.connect"):
            Cache(node, load, keys=keys_of)  # type: ignore[arg-type]


# Python 3.12 warns of a fork in a process with threads, which is what this test is about.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_gets_error(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-fork") as (_, cache, __):
        cache.get(7)
        child = os.fork()
        if child == 0:
            try:
                cache.get(7)
            except fastcoord.NodeClosed:
                os._exit(17)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
        assert cache.get(7) is None
        assert cache.stats().hits == 1


def test_unlimited_timeout_waits(shared_server: LocalServer) -> None:
    with two_caches(shared_server, "blocking-unlimited") as (database, cache, _):
        database.gate.clear()
        with ThreadPoolExecutor() as pool:
            reads = [pool.submit(cache.get, 7, timeout) for timeout in (None, math.inf, 1e300)]
            wait_until(lambda: cache.stats().joined == 2)
            database.gate.set()
            assert [read.result() for read in reads] == [None] * 3


def test_interrupted_start_leaves_no_subscription(server: LocalServer) -> None:
    def interrupt(*values: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with connected(server, 1, "blocking-start") as node:
            server.freeze()

            def when_subscribed() -> None:
                wait_until(lambda: node.stats().subscriptions)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

            thread = threading.Thread(target=when_subscribed)
            thread.start()
            # The server does not confirm the subscription.
            with pytest.raises(KeyboardInterrupt), BlockingCache(node, abs, keys=keys_of):
                pass
            thread.join()
            assert node.stats().subscriptions == ()
            server.thaw()
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_exit_in_event_loop_ends_node(shared_server: LocalServer) -> None:
    def exit_program(event: Any) -> Any:
        raise SystemExit(3)

    with connected(shared_server, 1, "blocking-exit") as writer:
        node = connected(shared_server, 2, "blocking-exit")
        with (
            BlockingCache(node, abs, keys=exit_program) as cache,
            node.subscribe() as events,
            ThreadPoolExecutor() as pool,
        ):
            received = pool.submit(list, events)
            writer.publish(StateChange(7, 1, 1))
            # The thread of the node has ended, so that nothing would end these calls later.
            assert received.result(120) == [StateChange(7, 1, 1)]
            with pytest.raises(fastcoord.NodeClosed, match=r"node 2 was ended by SystemExit\(3\)"):
                node.publish(StateChange(7, 2, 1))
            assert not node.health()
            assert not cache.stats().is_following
        node.close()
