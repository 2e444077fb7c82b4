"""``Cache``: the cache of an asynchronous program."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import cachetools

from fastcoord._deadline import within
from fastcoord._forking import call_in_child
from fastcoord.cache.keys import Keys
from fastcoord.cache.loads import Load, Read
from fastcoord.cache.settings import CONFIRMATION_LIMIT, CacheSettings, describe
from fastcoord.errors import ConnectionLost, FastcoordError
from fastcoord.node import Node

if TYPE_CHECKING:
    from fastcoord.cache.coherence import Coherence
    from fastcoord.cache.stats import CacheStats
    from fastcoord.receiving.subscription import Subscription
    from fastcoord.wire.event_classes import EventClass, Publishable

__all__ = ["Cache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

logger = logging.getLogger("fastcoord")


class Cache(Generic[K, V]):
    """A cache in front of an asynchronous loader. The events of other nodes drop its entries.

    Use it with ``async with`` on the event loop of its node. ``docs/cache.md`` describes what is
    promised.

    :param node: the node whose events drop entries.
    :param load: an asynchronous function that returns the value of a key. It must read what a
        writer has committed before the writer publishes its event.
    :param keys: a function that returns the keys that an event invalidates, or ``ALL``. If it
        fails, everything is dropped.
    :param kinds: the event classes for which ``keys`` is called; ``None`` for all.
    :param max_size: the number of entries, or their total weight if ``weigh`` is given.
    :param weigh: returns the weight of a value.
    :param max_age: seconds after which an entry is loaded again in any case; ``None`` for no limit.
    :param stale_limit: while the node is disconnected, entries are served only until they are so
        many seconds old. 0 serves none.
    :param storage: a cache class of cachetools, which decides what is evicted.
    :raises TypeError: an argument has the wrong type.
    :raises ValueError: an argument is out of range.
    """

    def __init__(
        self,
        node: Node,
        load: Callable[[K], Awaitable[V]],
        *,
        keys: Keys[K],
        kinds: Iterable[EventClass] | None = None,
        max_size: float = 10_000,
        weigh: Callable[[V], float] | None = None,
        max_age: float | None = None,
        stale_limit: float = 0.0,
        storage: Callable[..., MutableMapping[Any, Any]] = cachetools.LRUCache,
    ) -> None:
        if not isinstance(node, Node):
            raise TypeError(f"Cache takes a node of fastcoord.connect, not {node!r:.60}")
        self._settings: CacheSettings[K, V] = CacheSettings(
            load,
            keys=keys,
            kinds=kinds,
            max_size=max_size,
            weigh=weigh,
            max_age=max_age,
            stale_limit=stale_limit,
            storage=storage,
        )
        self._node = node
        self._load = load
        self._events: Subscription[Any] | None = None
        self._coherence: Coherence[K, V] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._confirmed = asyncio.Event()
        self._clock = node._session.clock
        self._is_closed = False
        call_in_child(self)

    def __repr__(self) -> str:
        return describe("Cache", self._node.node_id, self._coherence)

    # ------------------------------------------------------------------------------ reads

    async def get(self, key: K) -> V:
        """Return the value of a key, from memory or by the loader.

        Reads of one key that wait at the same time share one load. A value must not be changed in
        place, because other reads get the same object.

        :param key: a hashable key.
        :return: what the loader returned.
        :raises FastcoordError: the cache is not open.
        :raises Exception: what the loader raised. Failed loads are not kept.
        """
        coherence = self._coherence
        if coherence is None:
            raise self._not_open()
        entry = coherence.lookup(key, self._clock())
        if entry is not None:
            return entry.value
        read: Read[K, V] = Read(key)
        coherence.begin(read, self._clock())
        while True:
            await self._wait(coherence, read)
            if coherence.ends(read, self._clock()):
                break
        load = read.waited
        error = load.error
        if isinstance(error, asyncio.CancelledError):
            raise FastcoordError(
                f"the load of {key!r:.60} was cancelled: the cache was closed, or the loader"
                " cancelled itself"
            )
        if error is not None:
            raise error
        return load.value

    async def _wait(self, coherence: Coherence[K, V], read: Read[K, V]) -> None:
        """Wait for the end of the load of a read, and start this load if it is new."""
        load = read.waited
        if read.must_start:
            load.task = asyncio.get_running_loop().create_task(self._run(coherence, load))
        try:
            # `wait` does not cancel the task: other reads may wait for it.
            await asyncio.wait((load.task,))
        except BaseException as error:
            if coherence.cancel(read, error):
                load.task.cancel()
            raise
        # A task that is cancelled before its first step runs nothing.
        coherence.fail(load, asyncio.CancelledError())

    async def _run(self, coherence: Coherence[K, V], load: Load[K, V]) -> None:
        try:
            loading = self._load(load.key)
            if not inspect.isawaitable(loading):
                raise TypeError(
                    f"load must be an asynchronous function, and it returned {loading!r:.60}:"
                    " BlockingCache takes ordinary functions"
                )
            value = await loading
            weight = self._settings.weight_of(value)
        except BaseException as error:
            coherence.fail(load, error)
            if not isinstance(error, Exception):
                raise
        else:
            coherence.finish(load, value, weight)

    # ----------------------------------------------------------------------------- writes

    async def publish(self, *events: Publishable) -> None:
        """Drop the keys that own events name, then publish the events.

        Call it after the write is committed. A node does not receive its own events, so that
        ``node.publish`` alone would leave the own entries as they are.

        :raises FastcoordError: the cache is not open, or what ``Node.publish`` raises.
        """
        coherence = self._opened()
        for event in events:
            coherence.apply(event, "program")
        await self._node.publish(*events)

    def invalidate(self, *keys: K) -> None:
        """Drop keys, and do not keep their loads that run now."""
        coherence = self._opened()
        for key in keys:
            coherence.drop(key, "program")

    def clear(self) -> None:
        """Drop everything, and do not keep the loads that run now."""
        self._opened().drop_all("program")

    def stats(self) -> CacheStats:
        """Return the counters of the cache."""
        coherence = self._opened()
        coherence.drain()
        return coherence.stats()

    # -------------------------------------------------------------------------- life cycle

    async def __aenter__(self) -> Cache[K, V]:
        if self._coherence is not None or self._is_closed:
            raise FastcoordError("a cache can be opened only once: create another one")
        self._events = events = self._node.subscribe(
            kinds=self._settings.kinds, connection=True, name="cache"
        )
        self._coherence = self._settings.coherence(self._node, events.take_nowait, self._confirm)
        self._follower = asyncio.get_running_loop().create_task(
            self._follow(events, self._coherence),
            name=f"fastcoord cache of node {self._node.node_id}",
        )
        # The node may have reconnected a moment ago.
        self._confirm()
        try:
            await within(self._confirmed.wait(), CONFIRMATION_LIMIT)
        except TimeoutError:
            pass  # until the connection works, nothing is served from memory
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop everything and cancel the loads that run. Their readers get a ``FastcoordError``."""
        coherence, self._coherence = self._coherence, None
        self._is_closed = True
        if coherence is None or self._events is None or self._follower is None:
            return
        self._events.close()
        tasks = {load.task for load in coherence.fail_all(asyncio.CancelledError())}
        for task in tasks:
            task.cancel()
        await asyncio.wait({self._follower, *tasks})

    async def _follow(self, events: Subscription[Any], coherence: Coherence[K, V]) -> None:
        """Process the items of the subscription while nothing is read."""
        try:
            async for item in events:
                coherence.receive(item)
        except ConnectionLost as error:
            logger.warning("a cache of node %d serves nothing: %s", self._node.node_id, error)
        finally:
            coherence.end()

    def _confirm(self) -> None:
        if self._node.is_connected:
            self._node._session.confirm_subscriptions(self._on_confirmed)
        else:
            # ``Reconnected`` follows.
            self._confirmed.set()

    def _on_confirmed(self) -> None:
        if self._coherence is not None:
            self._coherence.confirmed()
        self._confirmed.set()

    def forked(self) -> None:
        """Close the cache in a forked child, which receives no events of the parent's node."""
        self._coherence = None
        self._is_closed = True

    def _opened(self) -> Coherence[K, V]:
        if self._coherence is None:
            raise self._not_open()
        return self._coherence

    def _not_open(self) -> FastcoordError:
        state = "is closed" if self._is_closed else "is not open: use `async with` for it"
        return FastcoordError(f"the cache {state}")


Cache.__module__ = "fastcoord.cache"
