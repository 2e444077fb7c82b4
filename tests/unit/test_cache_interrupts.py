"""An exception of a signal handler interrupts a cache at any place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import cachetools
import pytest

from fastcoord import StateChange
from fastcoord.cache.blocking import Running
from fastcoord.cache.coherence import Coherence
from fastcoord.cache.loads import Read


class Fragile(cachetools.LRUCache[Any, Any]):
    """A storage of which the next change is interrupted."""

    is_armed = False

    def __delitem__(self, key: Any, **options: Any) -> None:
        self.interrupt()
        super().__delitem__(key, **options)

    def __setitem__(self, key: Any, value: Any, **options: Any) -> None:
        self.interrupt()
        super().__setitem__(key, value, **options)

    @classmethod
    def interrupt(cls) -> None:
        if cls.is_armed:
            cls.is_armed = False
            raise KeyboardInterrupt


class Key:
    """A key of which one use is interrupted."""

    uses_left = -1

    def __hash__(self) -> int:
        self.uses_left -= 1
        if self.uses_left == 0:
            raise KeyboardInterrupt
        return 7


def coherence(take: Callable[[], Any] = lambda: None) -> Coherence[Any, Any]:
    cache: Coherence[Any, Any] = Coherence(
        keys=lambda event: [event.account_id],
        make_storage=lambda: Fragile(100),
        take=take,
        node_id=lambda: 1,
        confirm=lambda: None,
        on_error=lambda event, error: None,
    )
    cache._is_confirmed = True
    return cache


def put(cache: Coherence[Any, Any], key: Any) -> None:
    read: Read[Any, Any] = Read(key)
    cache.begin(read, 0.0)
    cache.finish(read.waited, "value")
    assert cache.ends(read, 0.0)


def interrupted(call: Callable[[], object]) -> None:
    with pytest.raises(KeyboardInterrupt):
        call()


def test_interrupted_drain_drops_everything() -> None:
    items: list[Any] = []

    def take() -> Any:
        if items:
            # The exception is raised when the event is already taken.
            items.pop()
            raise KeyboardInterrupt

    cache = coherence(take)
    put(cache, 7)
    items.append(StateChange(7, 1, 1))
    interrupted(lambda: cache.lookup(7, 0.0))
    assert cache.lookup(7, 0.0) is None


@pytest.mark.parametrize("is_drop", [True, False])
def test_interrupted_storage_is_replaced(is_drop: bool) -> None:
    cache = coherence()
    put(cache, 7)
    Fragile.is_armed = True
    interrupted(lambda: cache.drop(7, "program") if is_drop else put(cache, 8))
    assert cache.lookup(7, 0.0) is None
    put(cache, 7)
    assert cache.stats().entries == 1


@pytest.mark.parametrize("uses", [2, 3])
def test_interrupted_begin_leaves_no_load(uses: int) -> None:
    cache, key = coherence(), Key()
    read: Read[Any, Any] = Read(key)
    key.uses_left = uses
    interrupted(lambda: cache.begin(read, 0.0))
    assert read.must_start
    assert cache.cancel(read, KeyboardInterrupt())
    again: Read[Any, Any] = Read(key)
    cache.begin(again, 0.0)
    assert again.must_start, "the read would wait for a load that nobody runs"


def test_load_without_reader_keeps_no_fence() -> None:
    cache = coherence()
    put(cache, 7)
    read: Read[Any, Any] = Read(8)
    cache.begin(read, 0.0)
    cache.finish(read.waited, "value")
    # The read was interrupted and does not end. Its fence goes with the next event.
    cache.drop(8, "event")
    assert not cache.is_fresh(read.waited)
    assert cache._fences == {}


def test_end_of_load_can_be_repeated() -> None:
    running = Running()
    ended = []
    readers = [
        threading.Thread(target=lambda: ended.append(running.wait(None)), daemon=True)
        for _ in range(3)
    ]
    assert not running.wait(time.monotonic())
    for reader in readers:
        reader.start()
    for _ in range(2):
        running.end()
    for reader in readers:
        reader.join(60)
    assert ended == [True] * 3
    assert running.wait(None)
