"""The public class from which the threads of a program read events."""

from __future__ import annotations

import threading
import time
import typing
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from fastcoord._forking import call_in_child
from fastcoord.errors import NodeClosed, RequestTimeout
from fastcoord.receiving.thread_iterator import Bell, ThreadIterator, ThreadTurns

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from fastcoord._codec import Batch
    from fastcoord.blocking._loop_thread import LoopThread
    from fastcoord.events import Event, Notice
    from fastcoord.receiving.consumer import Consumer
    from fastcoord.stats import SubscriptionStats

__all__ = ["Subscription"]

if TYPE_CHECKING:
    # Without an argument, as in an annotation, a subscription is one of `Event`.
    T_co = TypeVar("T_co", covariant=True, default=Event)
else:
    T_co = typing.TypeVar("T_co", covariant=True)


class Subscription(Generic[T_co]):
    """The events of the other nodes, from the call of ``Node.subscribe`` on.

    Iterate over a subscription with ``for``. It yields events in each sender's order, and notices
    (such as ``Missed``) between the events to which they refer. Several threads may iterate at the
    same time; each item is then delivered to one of them.

    A subscription ends when the program leaves ``with`` or calls ``close``. If the node is closed,
    the subscription ends after its buffered events were read.

    ``fastcoord.blocking.Node.subscribe`` creates subscriptions.
    """

    def __init__(
        self, consumer: Consumer, thread: LoopThread, node: object, timeout: float | None
    ) -> None:
        self._consumer = consumer
        self._thread = thread
        self._node = node  # a program may refer to the subscription only
        self._timeout = timeout
        self._turns = ThreadTurns(threading.Lock(), _new_bell())
        self._buffered = ThreadIterator(consumer, self._turns, None)
        call_in_child(self)

    def forked(self) -> None:
        """End the subscription in a forked child: a thread of the parent may hold the lock."""
        self._turns.renew(threading.Lock(), _new_bell())
        self._consumer.end(NodeClosed("forked: connect again in this process"))

    def __iter__(self) -> Iterator[T_co | Notice]:
        self._consumer.check_open()
        return self._items(self._timeout)

    def _items(self, timeout: float | None, *, batches: bool = False) -> Iterator[Any]:
        """Return an iterator. It keeps the subscription.

        :param timeout: how many seconds each step may wait.
        """

        def begin_wait() -> Callable[[], float]:
            return self._begin_wait(timeout)

        return ThreadIterator(self._consumer, self._turns, begin_wait, batches=batches)

    def _begin_wait(self, timeout: float | None) -> Callable[[], float]:
        """Return a function that returns the timeout for ``Lock.acquire``; see ThreadIterator."""
        if timeout is None:
            return _without_limit
        limit = time.monotonic() + timeout

        def seconds_left() -> float:
            seconds = limit - time.monotonic()
            if seconds <= 0:
                raise RequestTimeout(f"no event arrived within {timeout:g} s")
            return min(seconds, threading.TIMEOUT_MAX)

        return seconds_left

    def batches(self, timeout: float | None = None) -> Iterator[Batch | Notice]:
        """Iterate over notices and whole batches, each with the events of one message.

        :param timeout: how many seconds the iteration waits for its next item; by default the
            timeout of the subscription.
        :return: an iterator. If single events of a batch were taken before, it yields the rest of
            that batch.
        :raises SubscriptionError: the subscription was closed.
        :raises RequestTimeout: while iterating: nothing arrived in time. The iteration can go on.
        :raises ConnectionLost: while iterating, if reconnecting was given up.
        """
        self._consumer.check_open()
        return self._items(self._timeout if timeout is None else timeout, batches=True)

    def next(self, timeout: float | None = None) -> T_co | Notice:
        """Wait for the next event or notice.

        :param timeout: the limit in seconds; by default the timeout of the subscription. With 0 the
            call does not wait.
        :raises RequestTimeout: nothing arrived in time.
        :raises SubscriptionError: the subscription was closed.
        :raises NodeClosed: the node was closed, and everything that was buffered is read.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        """
        self._consumer.check_open()
        # Do not call `next()`: a signal handler could raise behind the call, and lose the item.
        for item in self._items(self._timeout if timeout is None else timeout):
            return item  # type: ignore[no-any-return]
        self._consumer.check_open()
        raise NodeClosed("the node is closed, and no event is buffered")

    def take_nowait(self) -> T_co | Notice | None:
        """Take the next buffered event or notice without waiting.

        :return: ``None`` if nothing is buffered, or while another thread waits for an item.
        """
        for item in self._buffered:
            return item  # type: ignore[return-value]
        return None

    @property
    def sender(self) -> int | None:
        """The node that sent the event which this subscription has delivered last.

        ``None`` before the first event and after a notice. If several threads iterate,
        it may belong to the event of another thread: use ``batches`` there.
        """
        return self._consumer.sender

    @property
    def sequence(self) -> int | None:
        """The stream sequence up to which the program has taken everything.

        Pass it as ``since`` to the ``subscribe`` of a later run to continue there. ``None`` without
        a stream.
        """
        return self._consumer.sequence

    def __enter__(self) -> Subscription[T_co]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription: drop what is buffered, and end the iterations over it."""
        self._thread.call(self._consumer.close)

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        # `__init__` may have failed before it set the attributes.
        if getattr(self, "_buffered", None) is None or self._consumer.ring.is_closed:
            return
        # The garbage collector calls this in any thread.
        self._thread.submit(self._consumer.close)
        warn(
            "a subscription was dropped without close(): use `with node.subscribe()`",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    def stats(self) -> SubscriptionStats:
        """Return the stats of this subscription now, or at its end."""
        return self._thread.call(self._consumer.stats)


def _new_bell() -> Bell:
    lock = threading.Lock()
    lock.acquire()
    return Bell(lock)


def _without_limit() -> float:
    return -1


Subscription.__module__ = "fastcoord.blocking"
