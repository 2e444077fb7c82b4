"""The public class from which a program reads events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord._codec import Batch
    from fastcoord.events import Event, Notice
    from fastcoord.receiving.consumer import Consumer
    from fastcoord.stats import SubscriptionStats

__all__ = ["Subscription"]


class Subscription:
    """The events of the other nodes, from the moment of ``Node.subscribe`` on.

    Iterate over it with ``async for``. It yields events in each sender's order, and notices
    (``Missed``, ``DuplicateNodeId``) in the place where they belong. Leaving ``async with``, or
    ``close``, ends it. Closing the node ends it after the buffered events were read. A subscription
    that neither the program nor a waiting task refers to is closed, with a ``ResourceWarning``.

    One task at a time may iterate, on the event loop of its node.

    Made by ``Node.subscribe``.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __aiter__(self) -> AsyncIterator[Event | Notice]:
        self._consumer.check_open()
        # The compiled cursor itself: no Python code of this class runs for each event.
        return self._consumer

    def __anext__(self) -> Awaitable[Event | Notice]:
        return self._consumer.__anext__()

    def batches(self) -> AsyncIterator[Batch | Notice]:
        """Iterate over whole batches: the events of one message together, and notices.

        :return: an asynchronous iterator; do not mix it with single events within one batch.
        :raises SubscriptionError: the subscription was closed.
        :raises ConnectionLost: while iterating, when the node has given up its connection.
        """
        self._consumer.check_open()
        return self._consumer.batches()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription; what is buffered is dropped, and an iteration over it ends."""
        self._consumer.close()

    def stats(self) -> SubscriptionStats:
        """Return the stats of this subscription now, or at its end."""
        return self._consumer.stats()


Subscription.__module__ = "fastcoord"
