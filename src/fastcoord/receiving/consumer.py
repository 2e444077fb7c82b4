"""The internal object of a subscription, with its ring, its stats and its end."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Literal

from fastcoord.errors import SubscriptionError, WrongLoop
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.notices import (
    Kinds,
    fold,
    overflow_notices,
    refuse_missing,
    split_kinds,
    unwanted_notices,
)
from fastcoord.receiving.ring import Ring
from fastcoord.stats import SubscriptionStats

__all__ = ["Consumer", "Kinds", "Overflow"]

Overflow = Literal["drop-oldest", "drop-newest"]


class Consumer(Cursor):
    """The object from which a ``Subscription`` reads, and which the session ends.

    :param name: the name of the subscription in stats.
    :param capacity_messages: how many messages may be buffered.
    :param capacity_bytes: how many bytes of payload may be buffered.
    :param on_close: called with this object when the program closes its subscription.
    :param loop: the event loop of the node; ``None`` allows any loop.
    :raises TypeError: ``peers`` or ``connection`` is not a bool, or ``kinds`` holds something else
        than classes.
    :raises UnsupportedEvent: ``kinds`` holds an event that the protocol does not have.
    :raises ValueError: the value of ``overflow`` is unknown, or ``kinds`` is empty.
    """

    def __init__(
        self,
        *,
        protocol: str,
        kinds: Kinds | None,
        overflow: Overflow,
        peers: bool,
        connection: bool = False,
        name: str | None = None,
        capacity_messages: int,
        capacity_bytes: int,
        on_close: Callable[[Consumer], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if overflow not in ("drop-oldest", "drop-newest"):
            raise ValueError(f'overflow must be "drop-oldest" or "drop-newest", not {overflow!r}')
        for argument, value, added in (
            ("peers", peers, "PeerUp and PeerDown"),
            ("connection", connection, "Disconnected and Reconnected"),
        ):
            if not isinstance(value, bool):
                raise TypeError(
                    f"{argument} must be True or False, not {type(value).__name__}: with True,"
                    f" {added} are delivered"
                )
        events, notices = split_kinds(kinds)
        if events is not None and not events and not notices:
            raise ValueError("kinds is empty, so nothing would arrive: leave it out to receive all")
        # No argument may refer to this object: a reference cycle would keep the subscription open
        # after the program has dropped it.
        super().__init__(
            Ring(
                capacity_messages,
                capacity_bytes,
                drop_newest=overflow == "drop-newest",
                unwanted=unwanted_notices(notices, peers=peers, connection=connection),
                fold=fold,
            ),
            protocol=protocol,
            kinds=events,
            as_notices=overflow_notices,
            get_loop=loop_getter(loop),
        )
        refuse_missing(events or (), protocol)
        self.node: object = None
        """The node. This reference keeps it alive as long as the subscription."""
        self.name = name
        self._full_since: float | None = None
        self._on_close = on_close
        self._final: SubscriptionStats | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the program has closed its subscription."""
        return self._final is not None

    def check_open(self) -> None:
        """Raise an error if the program has closed the subscription.

        :raises SubscriptionError: the subscription is closed.
        """
        if self.is_closed:
            raise SubscriptionError(
                "the subscription is closed: iterate within `async with`, or call subscribe() again"
            )

    def close(self) -> None:
        """End the subscription now: drop what is buffered, and end an iteration over it."""
        if not self.is_closed:
            self._final = self.stats()
            self._on_close(self)
        self.ring.close()
        self.ring.clear()
        self.drop()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        # `__init__` may have failed before it set the attributes.
        if getattr(self, "_final", self) is None and not self.ring.is_closed:
            warn(
                "a subscription was dropped without close(): use `async with node.subscribe()`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            self.close()

    def end(self, failure: Exception | None) -> None:
        """Let the program read what is buffered, then end its iteration.

        :param failure: raised at the end of the iteration, if given.
        """
        self.fail(failure)
        self.ring.close()

    def stats(self) -> SubscriptionStats:
        """Return the stats of the subscription now, or at its end."""
        if self._final is not None:
            return self._final
        ring = self.ring
        return SubscriptionStats(
            name=self.name,
            arrived=ring.arrived,
            delivered=self.delivered,
            buffered=self.buffered,
            filtered=self.filtered,
            mismatched=self.mismatched,
            missed=ring.missed,
            buffered_messages=ring.buffered_messages,
            buffered_bytes=ring.buffered_bytes,
            high_water_messages=ring.high_water_messages,
            capacity_messages=ring.capacity_messages,
            capacity_bytes=ring.capacity_bytes,
        )

    def check_fill(self, now: float) -> None:
        """Note since when the ring is more than half full.

        :param now: the loop's time.
        """
        ring = self.ring
        if (
            2 * ring.buffered_messages <= ring.capacity_messages
            and 2 * ring.buffered_bytes <= ring.capacity_bytes
        ):
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now

    def describe_backlog(self, now: float, limit: float) -> str | None:
        """Describe the backlog if the ring has been more than half full for too long.

        :param now: the loop's time.
        :param limit: the longest time that is acceptable, in seconds.
        :return: a sentence, or ``None``.
        """
        self.check_fill(now)
        if self._full_since is None or now - self._full_since <= limit:
            return None
        ring = self.ring
        name = "a subscription" if self.name is None else f"the subscription {self.name!r}"
        return (
            f"{name} has been more than half full for {now - self._full_since:.1f} s"
            f" ({ring.buffered_messages} of {ring.capacity_messages} messages,"
            f" {ring.buffered_bytes} of {ring.capacity_bytes} bytes): the program reads too slowly"
        )


def loop_getter(
    expected: asyncio.AbstractEventLoop | None,
) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a function that returns the running event loop, or raises if it is another one."""
    if expected is None:
        return asyncio.get_running_loop

    def get_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not expected:
            raise WrongLoop(
                "the subscription belongs to the event loop of its node and is iterated on another"
                " one: iterate where connect() was called"
            )
        return loop

    return get_loop
