"""The public class from which a program reads events."""

from __future__ import annotations

import typing
from collections.abc import AsyncIterator, Awaitable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from fastcoord._codec import Batch
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

    Iterate over a subscription with ``async for``. It yields events in each sender's order, and
    notices (such as ``Missed``) between the events to which they refer. One task at a time may
    iterate, on the event loop of the node.

    A subscription ends when the program leaves ``async with`` or calls ``close``. If the node is
    closed, the subscription ends after its buffered events were read. If neither the program nor a
    waiting task refers to a subscription, it is closed with a ``ResourceWarning``.

    ``Node.subscribe`` creates subscriptions.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._buffered: Iterator[Any] = consumer.buffered_events()

    def __aiter__(self) -> AsyncIterator[T_co | Notice]:
        self._consumer.check_open()
        # Return a compiled object, so that no Python code runs for each event.
        events: AsyncIterator[Any] = aiter(self._consumer)
        return events

    def __anext__(self) -> Awaitable[T_co | Notice]:
        step: Awaitable[Any] = self._consumer.__anext__()
        return step

    def batches(self) -> AsyncIterator[Batch | Notice]:
        """Iterate over notices and whole batches, each with the events of one message.

        :return: an asynchronous iterator. If single events of a batch were taken before, it yields
            the rest of that batch.
        :raises SubscriptionError: the subscription was closed.
        :raises ConnectionLost: while iterating, if reconnecting was given up.
        """
        self._consumer.check_open()
        return self._consumer.batches()

    def take_nowait(self) -> T_co | Notice | None:
        """Take the next buffered event or notice without waiting.

        :return: ``None`` if nothing is buffered.
        """
        for item in self._buffered:
            return item  # type: ignore[no-any-return]
        return None

    @property
    def sender(self) -> int | None:
        """The node that sent the event which this subscription has delivered last.

        ``None`` before the first event and after a notice.
        """
        return self._consumer.sender

    async def __aenter__(self) -> Subscription[T_co]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription: drop what is buffered, and end an iteration over it."""
        self._consumer.close()

    @property
    def sequence(self) -> int | None:
        """The stream sequence up to which the program has taken everything.

        Pass it as ``since`` to the ``subscribe`` of a later run to continue there. If the program
        has taken only a part of the events of a message, that message is delivered again. ``None``
        without a stream.
        """
        return self._consumer.sequence

    def stats(self) -> SubscriptionStats:
        """Return the stats of this subscription now, or at its end."""
        return self._consumer.stats()


Subscription.__module__ = "fastcoord"
