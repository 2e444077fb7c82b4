"""Decide which entries of a cache may be served. Pure logic, with the time handed in.

Each load has a fence: an invalidation of its key while it runs, or before its readers have taken
the value, marks the load as stale. A stale load is not kept, no further read joins it, and its
readers load again. After ``LOADS_PER_READ`` loads, a read takes the value of its last load, which
began after the read itself.

| item of the subscription | effect |
| --- | --- |
| an event | drops the keys that the function ``keys`` returns |
| an event that does not fit its class | drops everything |
| ``Missed`` | drops everything: the missing events may name any key |
| ``Disconnected`` | entries are served only while they are younger than ``stale_limit`` |
| ``Reconnected`` | drops everything; the server may not have processed the subscription yet |
| the server has processed the subscription | drops everything; entries are served again |
| ``DuplicateNodeId`` of this node | drops everything; from then on as after ``Disconnected`` |

With a stream, everything that is published in an absence is received after it. ``Disconnected`` and
``Reconnected`` then have no effect. Entries are not served (except within ``stale_limit``) while
``is_caught_up`` is false, and are served again afterwards, without those that events have dropped.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any, Generic, TypeVar

from fastcoord.cache.keys import ALL, Keys
from fastcoord.cache.loads import Load, Read
from fastcoord.cache.stats import CacheStats
from fastcoord.events import (
    AppEvent,
    Disconnected,
    DuplicateNodeId,
    Missed,
    Notice,
    Reconnected,
)
from fastcoord.wire.typed import class_of_kind

__all__ = ["Coherence"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LOADS_PER_READ = 3
"""A read whose loads are always overtaken ends after so many."""


class Coherence(Generic[K, V]):
    """The entries of a cache and the loads under way.

    :param keys: returns the keys that an event invalidates.
    :param make_storage: returns an empty, bounded mapping from keys to loads.
    :param take: returns the next buffered item of the subscription, or ``None``. Every read takes
        all of them first, so that no read ignores an event that the node has received.
    :param node_id: returns this node's id.
    :param confirm: called after ``Reconnected``; it must call ``confirmed`` as soon as the server
        has processed the subscription.
    :param is_caught_up: with a stream, whether everything that it had after the last interruption
        was received. ``None`` on plain NATS.
    :param stale_limit: seconds; how old an entry may be to be served while the node is
        disconnected.
    :param max_age: seconds after which an entry is always loaded again; ``None`` for no limit.
    :param takes_app_events: whether ``keys`` expects ``AppEvent`` also for kinds that have a class.
        Otherwise such an ``AppEvent`` is one that does not fit its class, and drops everything.
    :param on_error: called with the event and the exception if ``keys`` fails.
    :param make_task: returns the ``task`` of a new load.
    """

    def __init__(
        self,
        *,
        keys: Keys[K],
        make_storage: Callable[[], MutableMapping[K, Load[K, V]]],
        take: Callable[[], Any],
        node_id: Callable[[], int],
        confirm: Callable[[], None],
        is_caught_up: Callable[[], bool] | None = None,
        stale_limit: float = 0.0,
        max_age: float | None = None,
        takes_app_events: bool = False,
        on_error: Callable[[Any, Exception], None],
        make_task: Callable[[], Any] = lambda: None,
    ) -> None:
        self._keys = keys
        self._make_storage = make_storage
        self._take = take
        self._node_id = node_id
        self._stale_limit = stale_limit
        self._max_age = max_age
        self._on_error = on_error
        self._takes_app_events = takes_app_events
        self._confirm = confirm
        self._make_task = make_task
        self._is_confirmed = False
        self._is_caught_up = is_caught_up
        self._has_ended = False
        self._is_duplicate = False
        self._epoch = 0
        self._storage = make_storage()
        self._joinable: dict[K, Load[K, V]] = {}
        """The loads under way that a further read may join."""
        self._fences: dict[K, list[Load[K, V]]] = {}
        """All loads that have not ended, or whose readers have not all taken the value."""
        self._hits = self._joined = self._loads = self._failed = self._overtaken = 0
        self._drops: collections.Counter[str] = collections.Counter()

    # ------------------------------------------------------------------------------ reads

    def lookup(self, key: K, now: float) -> Load[K, V] | None:
        """Return the entry of a key if it may be served; ``None`` if the key must be loaded."""
        self.drain()
        try:
            load = self._storage.get(key)
            if load is None:
                return None
            age = now - load.began_at
            if self._max_age is not None and age >= self._max_age:
                del self._storage[key]
                self._drops["age"] += 1
                return None
        except TypeError:
            raise  # the key cannot be hashed
        except BaseException:
            self._interrupted()
            raise
        if not self.is_following and age >= self._stale_limit:
            return None
        self._hits += 1
        return load

    def begin(self, read: Read[K, V], now: float) -> None:
        """Begin a read of a key for which ``lookup`` has returned ``None``.

        If an exception interrupts this method, ``cancel`` ends the read.
        """
        self._wait_for_load(read, now)

    def ends(self, read: Read[K, V], now: float) -> bool:
        """Check, after the load of a read has ended, whether the read ends with its result.

        :return: ``False`` if the read now waits for another load.
        """
        self.drain()
        load = read.waited
        is_last = load.error is not None or read.loads >= LOADS_PER_READ
        ends = is_last or self.is_fresh(load)
        self._leave(load)
        if ends:
            return True
        entry = self.lookup(read.key, now)
        if entry is None:
            self._wait_for_load(read, now)
            return False
        read.load = entry
        return True

    def cancel(self, read: Read[K, V], error: BaseException) -> bool:
        """End a read that no longer waits. If its load has no other readers, the load has failed.

        :return: whether this has ended the load, which should then be cancelled.
        """
        load = read.load
        if load is None:
            return False
        self._leave(load)
        if load.has_ended or load.readers:
            return False
        self.fail(load, error)
        return True

    def is_fresh(self, load: Load[K, V]) -> bool:
        """Whether nothing has made the load stale so far."""
        return not load.is_stale and load.epoch == self._epoch

    def _wait_for_load(self, read: Read[K, V], now: float) -> None:
        load = self._joinable.get(read.key)
        read.loads += 1
        if load is not None:
            self._joined += 1
            load.readers += 1
            read.load = load
            read.must_start = False
            return
        load = Load(read.key, self._epoch, now, self._make_task())
        # The read has its load before others can join it. If an exception interrupts this method,
        # the load must not wait for ever for its start.
        load.readers = 1
        read.load = load
        read.must_start = True
        self._loads += 1
        self._fences.setdefault(read.key, []).append(load)
        self._joinable[read.key] = load

    def _leave(self, load: Load[K, V]) -> None:
        load.readers -= 1
        if load.has_ended and not load.readers:
            self._remove_fence(load)

    # ------------------------------------------------------------------------------ loads

    def finish(self, load: Load[K, V], value: V, weight: float = 1) -> None:
        """Note the value of a load, and keep it unless it has become stale."""
        if load.has_ended:
            return
        self.drain()
        load.value = value
        load.weight = weight
        self._end(load)
        if not self.is_fresh(load):
            self._overtaken += 1
            return
        storage = self._storage
        before = len(storage) + (load.key not in storage)
        try:
            storage[load.key] = load
        except ValueError:
            # cachetools: the value alone is larger than the cache.
            before -= 1
        except BaseException:
            self._interrupted()
            raise
        self._drops["evicted"] += before - len(storage)

    def fail(self, load: Load[K, V], error: BaseException) -> None:
        """Note that a load has failed, unless it has ended. All its readers get the error."""
        if load.has_ended:
            return
        load.error = error
        self._failed += 1
        self._end(load)

    def fail_all(self, error: BaseException) -> list[Load[K, V]]:
        """Note that all loads under way have failed, and return them."""
        running = [load for loads in self._fences.values() for load in loads if not load.has_ended]
        for load in running:
            self.fail(load, error)
        return running

    def _end(self, load: Load[K, V]) -> None:
        load.has_ended = True
        if self._joinable.get(load.key) is load:
            del self._joinable[load.key]
        if not load.readers:
            self._remove_fence(load)

    def _remove_fence(self, load: Load[K, V]) -> None:
        fences = self._fences.get(load.key, [])
        if load in fences:
            fences.remove(load)
        if not fences:
            self._fences.pop(load.key, None)

    # ---------------------------------------------------------------------- invalidation

    @property
    def is_following(self) -> bool:
        """Whether the node receives all events, as far as it knows."""
        if self._is_duplicate or self._has_ended:
            return False
        return self._is_confirmed if self._is_caught_up is None else self._is_caught_up()

    def drain(self) -> None:
        """Process all buffered items of the subscription."""
        try:
            while (item := self._take()) is not None:
                self.receive(item)
        except BaseException:
            # The item is taken, and its keys are unknown.
            self._interrupted()
            raise

    def receive(self, item: Any) -> None:
        """Process one item of the subscription: an event or a notice."""
        if not isinstance(item, Notice):
            self._receive_event(item)
        elif isinstance(item, Missed):
            self.drop_all("absence" if item.cause == "disconnect" else "missed")
        elif isinstance(item, DuplicateNodeId):
            if item.node_id == self._node_id():
                # This node drops the events of the other one.
                self.drop_all("missed")
                self._is_duplicate = True
        elif self._is_caught_up is not None:
            pass  # what was published in an absence is received after it
        elif isinstance(item, Disconnected):
            self._is_confirmed = False
        elif isinstance(item, Reconnected):
            self.drop_all("absence")
            self._confirm()

    def _receive_event(self, event: Any) -> None:
        if (
            isinstance(event, AppEvent)
            and not self._takes_app_events
            and class_of_kind(event.kind) is not None
        ):
            self.drop_all("error")
            self._on_error(event, ValueError(f"kind {event.kind} does not fit its class"))
        else:
            self.apply(event, "event")

    def confirmed(self) -> None:
        """Note that the server sends all events from now on.

        What was loaded before is dropped: an event may have been published after the load, and
        before the server knew the subscription.
        """
        self.drain()
        if self._is_caught_up is None:
            self.drop_all("absence")
        self._is_confirmed = True

    def end(self) -> None:
        """Note that the subscription has ended, so that nothing is known from now on."""
        self._has_ended = True

    def apply(self, event: Any, cause: str) -> None:
        """Drop the keys that an event names; drop everything if this cannot be found out."""
        try:
            keys = self._keys(event)
            if keys is ALL:
                self.drop_all(cause)
                return
            if isinstance(keys, str | bytes):
                raise TypeError(f"keys must return an iterable of keys or ALL, not {keys!r:.60}")
            for key in keys:
                self.drop(key, cause)
        except Exception as error:  # noqa: BLE001  the function belongs to the program
            self.drop_all("error")
            self._on_error(event, error)

    def drop(self, key: K, cause: str) -> None:
        """Drop the entry of a key, and mark its loads as stale."""
        try:
            if self._storage.pop(key, None) is not None:
                self._drops[cause] += 1
            loads = self._fences.pop(key, ())
            for load in loads:
                load.is_stale = True
            # The others need no fence any more. An interrupted read may have left some.
            if running := [load for load in loads if not load.has_ended]:
                self._fences[key] = running
            self._joinable.pop(key, None)
        except TypeError:
            raise  # the key cannot be hashed
        except BaseException:
            self._interrupted()
            raise

    def drop_all(self, cause: str) -> None:
        """Drop every entry, and mark all loads as stale."""
        self._epoch += 1
        self._drops[cause] += len(self._storage)
        self._storage = self._make_storage()
        self._joinable.clear()

    def _interrupted(self) -> None:
        """Drop everything, because an exception has interrupted a change.

        A signal handler, such as that of Ctrl-C, may raise it anywhere. The classes of cachetools
        are then damaged.
        """
        self._epoch += 1
        self._storage = self._make_storage()
        self._joinable.clear()

    def stats(self) -> CacheStats:
        """Return the counters."""
        return CacheStats(
            hits=self._hits,
            joined=self._joined,
            loads=self._loads,
            failed=self._failed,
            overtaken=self._overtaken,
            entries=len(self._storage),
            is_following=self.is_following,
            drops={cause: count for cause, count in self._drops.items() if count},
        )
