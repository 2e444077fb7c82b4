"""``BlockingCache``: the cache of a program with threads."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Hashable, Iterable, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import cachetools

from fastcoord._deadline import seconds_of
from fastcoord._forking import call_in_child
from fastcoord.blocking import Node
from fastcoord.cache.keys import Keys
from fastcoord.cache.loads import Load, Read
from fastcoord.cache.settings import CONFIRMATION_LIMIT, CacheSettings, describe
from fastcoord.errors import FastcoordError, NodeClosed, RequestTimeout

if TYPE_CHECKING:
    from fastcoord.cache.coherence import Coherence
    from fastcoord.cache.stats import CacheStats
    from fastcoord.receiving.subscription import Subscription
    from fastcoord.wire.event_classes import EventClass, Publishable

__all__ = ["BlockingCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Running:
    """What readers of a load wait for.

    A ``threading.Event`` would not do: an exception of a signal handler within its method ``set``
    can leave its lock locked.

    :ivar thread: the thread that runs the load.
    :ivar has_ended: whether the load has ended.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.has_ended = False
        self._waiting: list[threading.Lock] = []

    def end(self) -> None:
        """Wake all readers. If an exception interrupts this method, it can be called again."""
        self.has_ended = True
        for lock in self._waiting:
            if lock.locked():
                lock.release()

    def wait(self, limit: float | None) -> bool:
        """Wait for the end of the load.

        :param limit: a time on the monotonic clock; ``None`` for no limit.
        :return: whether the load has ended.
        """
        lock = threading.Lock()
        lock.acquire()
        self._waiting.append(lock)
        while not self.has_ended:
            seconds = -1.0 if limit is None else max(0.0, limit - time.monotonic())
            if not lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
                return self.has_ended
        return True


class BlockingCache(Generic[K, V]):
    """A cache in front of a loader, for any number of threads. Events drop its entries.

    Use it with ``with``. It promises what ``Cache`` promises; ``docs/cache.md`` describes it. The
    loader runs in the thread of the first read of its key, and other reads wait for it.

    :param node: the node of ``fastcoord.blocking`` whose events drop entries.
    :param load: a function that returns the value of a key. It must read what a writer has
        committed before the writer publishes its event. It must not read the same key of this
        cache.
    :param keys: a function that returns the keys that an event invalidates, or ``ALL``. It runs in
        any thread. If it fails, everything is dropped.
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
        load: Callable[[K], V],
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
            raise TypeError(f"BlockingCache takes a node of fastcoord.blocking, not {node!r:.60}")
        if inspect.iscoroutinefunction(load):
            raise TypeError("load must be an ordinary function: BlockingCache does not await it")
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
        # Protects the state below. Reentrant: `keys` may call `invalidate`.
        self._lock = threading.RLock()
        self._coherence: Coherence[K, V] | None = None
        self._events: Subscription[Any] | None = None
        self._confirmed = threading.Event()
        self._clock = node._node._session.clock
        self._ended: FastcoordError | None = None
        call_in_child(self)

    def __repr__(self) -> str:
        return describe("BlockingCache", self._node.node_id, self._coherence)

    # ------------------------------------------------------------------------------ reads

    def get(self, key: K, timeout: float | None = None) -> V:
        """Return the value of a key, from memory or by the loader.

        Reads of one key that wait at the same time share one load. A value must not be changed in
        place, because other reads get the same object.

        :param key: a hashable key.
        :param timeout: how many seconds to wait for a load that another thread runs; ``None`` for
            no limit.
        :return: what the loader returned.
        :raises FastcoordError: the cache is not open, or the load was interrupted.
        :raises RequestTimeout: the other thread has not ended the load in time.
        :raises TypeError: ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        :raises Exception: what the loader raised. Failed loads are not kept.
        """
        limit = None if timeout is None else time.monotonic() + seconds_of(timeout)
        read: Read[K, V] | None = None
        try:
            with self._lock:
                coherence = self._opened()
                entry = coherence.lookup(key, self._clock())
                if entry is not None:
                    return entry.value
                read = Read(key)
                coherence.begin(read, self._clock())
            while True:
                if read.must_start:
                    self._run(coherence, read.waited)
                else:
                    self._wait(read, limit)
                with self._lock:
                    if coherence.ends(read, self._clock()):
                        break
        except BaseException as error:
            if read is not None and read.load is not None:
                self._leave(coherence, read, error)
            raise
        load = read.waited
        failure = load.error
        if failure is None:
            return load.value
        if isinstance(failure, Exception):
            raise failure
        raise FastcoordError(f"the load of {key!r:.60} was interrupted in another thread")

    def _leave(self, coherence: Coherence[K, V], read: Read[K, V], error: BaseException) -> None:
        """End a read that was interrupted or has waited too long."""
        load = read.waited
        with self._lock:
            if read.must_start:
                # The interruption came before or after the loader ran.
                coherence.fail(load, error)
            coherence.cancel(read, error)
        if read.must_start:
            load.task.end()

    def _wait(self, read: Read[K, V], limit: float | None) -> None:
        """Wait for a load that another thread runs."""
        running: Running = read.waited.task
        if running.thread == threading.get_ident() and not running.has_ended:
            raise FastcoordError(f"the load of {read.key!r:.60} reads its own key")
        if not running.wait(limit):
            raise RequestTimeout(f"the load of {read.key!r:.60} has not ended in time")

    def _run(self, coherence: Coherence[K, V], load: Load[K, V]) -> None:
        """Call the loader in this thread."""
        try:
            value = self._load(load.key)
            weight = self._settings.weight_of(value)
        except BaseException as error:
            with self._lock:
                coherence.fail(load, error)
            if not isinstance(error, Exception):
                raise
        else:
            with self._lock:
                coherence.finish(load, value, weight)
        finally:
            # Otherwise `_leave` ends it.
            if load.has_ended:
                load.task.end()

    # ----------------------------------------------------------------------------- writes

    def publish(self, *events: Publishable, timeout: float | None = None) -> None:
        """Drop the keys that own events name, then publish the events.

        Call it after the write is committed. A node does not receive its own events, so that
        ``node.publish`` alone would leave the own entries as they are.

        :param timeout: the limit in seconds, as in ``Node.publish``.
        :raises FastcoordError: the cache is not open, or what ``Node.publish`` raises.
        """
        with self._lock:
            coherence = self._opened()
            for event in events:
                coherence.apply(event, "program")
        self._node.publish(*events, timeout=timeout)

    def invalidate(self, *keys: K) -> None:
        """Drop keys, and do not keep their loads that run now."""
        with self._lock:
            for key in keys:
                self._opened().drop(key, "program")

    def clear(self) -> None:
        """Drop everything, and do not keep the loads that run now."""
        with self._lock:
            self._opened().drop_all("program")

    def stats(self) -> CacheStats:
        """Return the counters of the cache."""
        with self._lock:
            coherence = self._opened()
            coherence.drain()
            return coherence.stats()

    # -------------------------------------------------------------------------- life cycle

    def __enter__(self) -> BlockingCache[K, V]:
        if self._coherence is not None or self._ended is not None:
            raise FastcoordError("a cache can be opened only once: create another one")
        try:
            self._node._thread.call(self._open)
            # Until the server has confirmed the subscription, nothing is served from memory.
            self._confirmed.wait(CONFIRMATION_LIMIT)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop everything. Loads that run now end in their threads and are not kept."""
        with self._lock:
            events, self._events = self._events, None
            self._coherence = None
            self._ended = self._ended or FastcoordError("the cache is closed")
        if events is not None:
            self._node._thread.call(events.close)

    def forked(self) -> None:
        """Close the cache in a forked child, which receives no events of the parent's node."""
        self._lock = threading.RLock()
        self._coherence = None
        self._events = None
        self._ended = NodeClosed("forked: connect and create a cache in this process")

    # The rest runs on the event loop of the node.

    def _open(self) -> None:
        node = self._node._node
        self._events = node.subscribe(kinds=self._settings.kinds, connection=True, name="cache")
        self._coherence = self._settings.coherence(
            node, self._events.take_nowait, self._confirm, Running
        )
        self._confirm_on_loop()
        self._process()

    def _process(self) -> None:
        """Process what is buffered, and wait for more."""
        with self._lock:
            if self._coherence is None or self._events is None:
                return
            try:
                self._coherence.drain()
            except BaseException:
                # The function `keys` has raised `SystemExit`, which ends the event loop.
                self._coherence.end()
                raise
            ring = self._events._consumer.ring
            if ring.is_closed:
                self._coherence.end()
            else:
                ring.wait(self._process_later)

    def _process_later(self) -> None:
        if not self._node._thread.submit(self._process):
            self._process()  # the event loop has ended

    def _confirm(self) -> None:
        # `drain` calls this in any thread.
        self._node._thread.submit(self._confirm_on_loop)

    def _confirm_on_loop(self) -> None:
        if self._node.is_connected:
            self._node._node._session.confirm_subscriptions(self._on_confirmed)
        else:
            # ``Reconnected`` follows.
            self._confirmed.set()

    def _on_confirmed(self) -> None:
        with self._lock:
            if self._coherence is not None:
                self._coherence.confirmed()
        self._confirmed.set()

    def _opened(self) -> Coherence[K, V]:
        if self._coherence is not None:
            return self._coherence
        if self._ended is None:
            raise FastcoordError("the cache is not open: use `with` for it")
        raise type(self._ended)(*self._ended.args)


BlockingCache.__module__ = "fastcoord.cache"
