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
from fastcoord.receiving.thread_iterator import Bell, ThreadIterator

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
        self._make_locks()
        call_in_child(self)

    def _make_locks(self) -> None:
        self._lock = threading.Lock()
        """Held by the thread that takes from the cursor or waits for its ring."""
        bell_lock = threading.Lock()
        bell_lock.acquire()
        self._bell = Bell(bell_lock)

    def forked(self) -> None:
        """End the subscription in a forked child: a thread of the parent may hold the lock."""
        self._make_locks()
        self._consumer.end(NodeClosed("forked: connect again in this process"))

    def __iter__(self) -> Iterator[T_co | Notice]:
        self._consumer.check_open()
        iterator: Iterator[Any] = ThreadIterator(self._consumer, self._take_event)
        return iterator

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
        return _Batches(self, self._timeout if timeout is None else timeout)

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
        try:
            item: T_co | Notice = self._take(
                self._consumer.take_event, self._timeout if timeout is None else timeout
            )
        except StopIteration:
            self._consumer.check_open()
            raise NodeClosed("the node is closed, and no event is buffered") from None
        return item

    def take_nowait(self) -> T_co | Notice | None:
        """Take the next buffered event or notice without waiting.

        :return: ``None`` if nothing is buffered, or while another thread waits for an item.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            item: Any = self._consumer.take_event()
        finally:
            self._lock.release()
        return item  # type: ignore[no-any-return]

    def _take_event(self) -> Any:
        return self._take(self._consumer.take_event, self._timeout)

    def _take(self, take: Callable[[], Any], timeout: float | None) -> Any:
        """Take the next item; wait while nothing is buffered.

        :raises StopIteration: the subscription has ended.
        """
        consumer, ring = self._consumer, self._consumer.ring
        limit = None if timeout is None else time.monotonic() + timeout
        if not self._lock.acquire(timeout=_seconds_until(limit)):
            raise _nothing_arrived(timeout)
        try:
            while True:
                item = take()
                if item is not None:
                    return item
                if ring.is_closed:
                    if consumer.failure is not None:
                        raise consumer.failure.with_traceback(None)
                    raise StopIteration
                ring.wait(self._bell)
                if not self._bell.wait(_seconds_until(limit)):
                    raise _nothing_arrived(timeout)
        finally:
            self._lock.release()

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
        if getattr(self, "_bell", None) is None or self._consumer.ring.is_closed:
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


class _Batches(Iterator["Batch | Notice"]):
    """Iterate over the batches of a subscription."""

    def __init__(self, subscription: Subscription[Any], timeout: float | None) -> None:
        self._subscription = subscription
        self._timeout = timeout

    def __next__(self) -> Batch | Notice:
        subscription = self._subscription
        item: Batch | Notice = subscription._take(subscription._consumer.take_batch, self._timeout)
        return item


def _seconds_until(limit: float | None) -> float:
    """Return the timeout for ``Lock.acquire``; -1 stands for no limit."""
    if limit is None:
        return -1
    return min(max(0.0, limit - time.monotonic()), threading.TIMEOUT_MAX)


def _nothing_arrived(timeout: float | None) -> RequestTimeout:
    return RequestTimeout(f"no event arrived within {timeout:g} s")


Subscription.__module__ = "fastcoord.blocking"
