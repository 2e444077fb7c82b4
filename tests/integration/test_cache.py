"""The cache on real nodes and servers."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

import fastcoord
from fastcoord import AppEvent, ReloadSettings, StateChange
from fastcoord.cache import ALL, BlockingCache, Cache
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.wait import until


def keys_of(event: Any) -> Any:
    match event:
        case StateChange(account_id=account):
            return [account]
        case ReloadSettings():
            return ALL
    return []


class Database:
    """Versions of keys, and a loader that can be stopped."""

    def __init__(self) -> None:
        self.rows: dict[int, Any] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.loads = 0

    async def load(self, key: int) -> Any:
        self.loads += 1
        value = self.rows.get(key)
        await self.gate.wait()
        if isinstance(value, Exception):
            raise value
        return value


@asynccontextmanager
async def two_caches(
    server: LocalServer, subject: str, **settings: Any
) -> AsyncIterator[tuple[Database, Any, Any]]:
    """Yield a database, and the caches of two nodes in front of it."""
    database = Database()
    cluster = {"subject": subject, "heartbeat": "60s"}
    async with (
        joined(server, 1, cluster=cluster) as one,
        joined(server, 2, cluster=cluster) as two,
        Cache(one, database.load, keys=keys_of, **settings) as first,
        Cache(two, database.load, keys=keys_of, **settings) as second,
    ):
        yield database, first, second


async def waits(cache: Cache[Any, Any], reads: int) -> None:
    await until(lambda: cache.stats().loads + cache.stats().joined == reads)


async def test_event_drops_entry(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "drops") as (database, first, second):
        database.rows[7] = "old"
        assert [await first.get(7), await first.get(7), await second.get(7)] == ["old"] * 3
        database.rows[7] = "new"
        await second.publish(StateChange(7, 1, 1))
        assert await second.get(7) == "new"
        await until(lambda: first.stats().drops == {"event": 1})
        assert await first.get(7) == "new"
        assert (first.stats().hits, first.stats().loads, first.stats().entries) == (1, 2, 1)
        assert second.stats().drops == {"program": 1}


async def test_confirmed_write_is_read_everywhere(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "everywhere") as (database, first, second):
        await until(lambda: second._node.peers())
        for version in range(100):
            database.rows[7] = version
            await second.publish(StateChange(7, version, 1))
            assert await second._node.flush(peers=True) == {1}
            assert await first.get(7) == version


async def test_all_drops_everything(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "all") as (_, first, second):
        for key in range(10):
            await first.get(key)
        await second.publish(ReloadSettings())
        await until(lambda: first.stats().entries == 0)
        assert first.stats().drops == {"event": 10}


async def test_reads_share_load(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "share") as (database, cache, _):
        database.rows[7] = "value"
        database.gate.clear()
        reads = [asyncio.create_task(cache.get(7)) for _ in range(20)]
        await waits(cache, 20)
        database.gate.set()
        assert await asyncio.gather(*reads) == ["value"] * 20
        assert database.loads == 1


async def test_cancelled_read_leaves_others(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "cancel") as (database, cache, _):
        database.rows[7] = "value"
        database.gate.clear()
        reads = [asyncio.create_task(cache.get(7)) for _ in range(3)]
        await waits(cache, 3)
        reads[0].cancel()
        await asyncio.wait({reads[0]})
        database.gate.set()
        assert await asyncio.gather(*reads[1:]) == ["value"] * 2
        assert database.loads == 1


async def test_last_cancelled_read_ends_load(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "abandon") as (database, cache, _):
        database.gate.clear()
        read = asyncio.create_task(cache.get(7))
        await waits(cache, 1)
        read.cancel()
        await until(lambda: cache.stats().failed == 1)
        database.gate.set()
        assert await cache.get(7) is None
        assert database.loads == 2


async def test_failure_wakes_all_reads(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "failure") as (database, cache, _):
        database.rows[7] = KeyError("no such account")
        database.gate.clear()
        reads = [asyncio.create_task(cache.get(7)) for _ in range(5)]
        await waits(cache, 5)
        database.gate.set()
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert [type(result) for result in results] == [KeyError] * 5
        database.rows[7] = "there"
        assert await cache.get(7) == "there"


async def test_overtaken_load_is_not_kept(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "overtaken") as (database, first, second):
        database.rows[7] = "old"
        database.gate.clear()
        read = asyncio.create_task(first.get(7))
        await waits(first, 1)
        database.rows[7] = "new"
        await second.publish(StateChange(7, 1, 1))
        # The next read must not join the load that began before the event.
        await until(lambda: first._coherence._joinable == {})
        later = asyncio.create_task(first.get(7))
        await waits(first, 2)
        database.gate.set()
        assert await later == "new"
        assert await read == "new"
        assert first.stats().overtaken == 1
        assert await first.get(7) == "new"


async def test_buffered_event_precedes_hit(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "buffered") as (database, first, second):
        database.rows[7] = "old"
        await first.get(7)
        database.rows[7] = "new"
        # The event is in the ring before the task of the cache has run.
        watched = first._node.subscribe()
        async with watched:
            await second.publish(StateChange(7, 1, 1))
            event = await anext(aiter(watched))
            assert event == StateChange(7, 1, 1)
            assert await first.get(7) == "new"


async def test_failing_keys_drop_everything(
    shared_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Any) -> Any:
        return "7" if isinstance(event, StateChange) else event.no_such_attribute

    async with (
        joined(shared_server, 1, cluster={"subject": "keys"}) as one,
        joined(shared_server, 2, cluster={"subject": "keys"}) as two,
        Cache(one, Database().load, keys=broken) as cache,
    ):
        for event in (StateChange(7, 1, 1), ReloadSettings()):
            await cache.get(7)
            await two.publish(event)
            await until(lambda: cache.stats().entries == 0)
        assert cache.stats().drops == {"error": 2}
    # One line a minute.
    assert [record.message for record in caplog.records if "are unknown" in record.message] == [
        (
            "a cache of node 1 has dropped everything: the keys of an event are unknown:"
            " StateChange: TypeError(\"keys must return an iterable of keys or ALL, not '7'\")"
        )
    ]


@fastcoord.event(kind=4711)
class RowChanged(msgspec.Struct, frozen=True):
    key: int


async def test_own_event_drops_entry(shared_server: LocalServer) -> None:
    cluster = {"subject": "own-events", "protocol": "fastcoord-1"}
    async with (
        joined(shared_server, 1, cluster=cluster) as one,
        joined(shared_server, 2, cluster=cluster) as two,
        Cache(one, Database().load, keys=lambda event: [event.key], kinds=[RowChanged]) as cache,
    ):
        for key in range(10):
            await cache.get(key)
        await two.publish(RowChanged(7))
        await until(lambda: cache.stats().entries == 9)
        assert cache.stats().drops == {"event": 1}
        # The other node has another class for this kind.
        await two.publish(AppEvent(4711, msgspec.msgpack.encode({"row": 8})))
        await until(lambda: cache.stats().entries == 0)
        assert cache.stats().drops == {"event": 1, "error": 9}


async def test_size_is_bounded(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "size", max_size=10, weigh=len) as (database, cache, _):
        database.rows = {1: "12345", 2: "12345", 3: "1234567", 4: "x" * 11}
        for key in (1, 2, 3, 4):
            await cache.get(key)
        assert cache.stats().drops == {"evicted": 2}
        assert cache.stats().entries == 1
        assert await cache.get(4) == "x" * 11
        assert cache.stats().loads == 5


@pytest.mark.parametrize("weight", [-1, math.nan, None, "x"])
async def test_wrong_weight_fails_load(shared_server: LocalServer, weight: Any) -> None:
    def weigh(value: Any) -> Any:
        return weight

    async with two_caches(shared_server, "weight", max_size=3, weigh=weigh) as (_, cache, __):
        with pytest.raises(ValueError, match="weigh must return a number, zero or more, not"):
            await cache.get(7)
        assert cache.stats().entries == 0


async def test_old_entry_is_loaded_again(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "age", max_age=0.000_001) as (_, cache, __):
        await cache.get(7)
        await cache.get(7)
        assert (cache.stats().loads, cache.stats().drops) == (2, {"age": 1})


@pytest.mark.parametrize(("limit", "loads"), [(0.0, 2), (3600.0, 0)])
async def test_disconnected_cache_obeys_limit(
    server: LocalServer, limit: float, loads: int
) -> None:
    async with two_caches(server, "absence", stale_limit=limit) as (database, first, _):
        await first.get(7)
        server.kill()
        await until(lambda: not first.stats().is_following)
        before = database.loads
        assert [await first.get(7), await first.get(7)] == [None, None]
        assert database.loads - before == loads
        await server.start_async()
        await until(lambda: first.stats().is_following)
        assert first.stats().entries == 0
        assert first.stats().drops == {"absence": 1}
        database.rows[7] = "new"
        assert [await first.get(7), await first.get(7)] == ["new", "new"]


async def test_closed_node_ends_caching(shared_server: LocalServer) -> None:
    database = Database()
    async with joined(shared_server, 1, cluster={"subject": "ends"}) as node:
        async with Cache(node, database.load, keys=keys_of) as cache:
            await cache.get(7)
            await node.close()
            await until(lambda: not cache.stats().is_following)
            await cache.get(7)
            assert database.loads == 2
        with pytest.raises(fastcoord.FastcoordError, match="the cache is closed"):
            await cache.get(7)


async def test_abandoned_connection_ends_caching(server: LocalServer) -> None:
    database = Database()
    async with (
        joined(server, 1, max_reconnects=0) as node,
        Cache(node, database.load, keys=keys_of) as cache,
    ):
        await cache.get(7)
        server.kill()
        await until(lambda: not cache.stats().is_following)
        assert [await cache.get(7), await cache.get(7)] == [None, None]
        assert database.loads == 3


async def test_duplicate_node_serves_nothing(shared_server: LocalServer) -> None:
    database = Database()
    cluster = {"subject": "duplicate", "heartbeat": "60s"}
    async with (
        joined(shared_server, 1, cluster=cluster) as node,
        Cache(node, database.load, keys=keys_of) as cache,
    ):
        await cache.get(7)
        async with joined(shared_server, 1, cluster=cluster):
            # Both drop the events of the other one.
            await until(lambda: not cache.stats().is_following)
        assert cache.stats().drops == {"missed": 1}
        assert [await cache.get(7), await cache.get(7)] == [None, None]
        assert database.loads == 3


async def test_close_ends_waiting_reads(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "closing") as (database, cache, _):
        database.gate.clear()
        read = asyncio.create_task(cache.get(7))
        await waits(cache, 1)
        await cache.close()
        with pytest.raises(fastcoord.FastcoordError, match="the load of 7 was cancelled"):
            await read


async def test_close_ends_load_that_has_not_begun(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "early") as (database, cache, _):
        read = asyncio.create_task(cache.get(7))
        await asyncio.sleep(0)  # the read runs, and creates the task of the load
        await cache.close()
        with pytest.raises(fastcoord.FastcoordError, match="the load of 7 was cancelled"):
            await read
        assert database.loads == 0


async def test_unopened_cache_is_refused(shared_server: LocalServer) -> None:
    async with joined(shared_server, 1, cluster={"subject": "unopened"}) as node:
        cache = Cache(node, Database().load, keys=keys_of)
        with pytest.raises(fastcoord.FastcoordError, match="use `async with`"):
            await cache.get(7)
        async with cache:
            pass
        with pytest.raises(fastcoord.FastcoordError, match="only once"):
            await cache.__aenter__()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"load": 7}, TypeError),
        ({"kinds": "StateChange"}, TypeError),
        ({"keys": "account_id"}, TypeError),
        ({"max_age": 0}, ValueError),
        ({"stale_limit": -1}, ValueError),
        ({"max_size": 0}, ValueError),
    ],
)
async def test_wrong_argument_is_refused(
    shared_server: LocalServer, settings: dict[str, Any], error: type[Exception]
) -> None:
    async with joined(shared_server, 1, cluster={"subject": "wrong"}) as node:
        with pytest.raises(error, match=next(iter(settings))):
            async with Cache(node, **{"load": Database().load, "keys": keys_of, **settings}):
                pass


async def test_ordinary_loader_is_refused(shared_server: LocalServer) -> None:
    async with (
        joined(shared_server, 1, cluster={"subject": "ordinary"}) as node,
        Cache(node, lambda key: key, keys=keys_of) as cache,  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="load must be an asynchronous function"):
            await cache.get(7)
        with pytest.raises(TypeError, match=r"BlockingCache takes a node of fastcoord\.blocking"):
            BlockingCache(node, lambda key: key, keys=keys_of)
        assert repr(cache) == "<fastcoord.cache.Cache of node 1: 0 entries>"


async def test_kinds_filter_events(shared_server: LocalServer) -> None:
    async with two_caches(shared_server, "kinds", kinds=[StateChange]) as (_, first, second):
        await first.get(7)
        await second.publish(ReloadSettings(), StateChange(7, 1, 1))
        await until(lambda: first.stats().entries == 0)
        assert first.stats().drops == {"event": 1}
