"""The subscriptions that begin in the past, until they have caught up with the live feed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastcoord.streaming.feed import Feed
from fastcoord.streaming.place import Place
from fastcoord.streaming.pull_consumer import PullConsumer

if TYPE_CHECKING:
    from fastcoord.receiving.ring import Ring
    from fastcoord.streaming.pausing import Received
    from fastcoord.streaming.pull_consumer import ConsumerOwner
    from fastcoord.streaming.source import StreamSource
    from fastcoord.streaming.start import Start
    from fastcoord.streaming.stream_receiver import StreamReceiver

__all__ = ["Replays"]


class Replays:
    """Feed rings from earlier places of the stream.

    :param source: the stream and the connection to it.
    :param owner: receives the callbacks of the consumers.
    :param receiver: passes the messages of the consumers to their feeds.
    :param live: the consumer of new events, which the replays join.
    :param subject: the subject of the events.
    """

    def __init__(
        self,
        source: StreamSource,
        owner: ConsumerOwner,
        receiver: StreamReceiver,
        live: PullConsumer,
        subject: bytes,
    ) -> None:
        self._source = source
        self._owner = owner
        self._receiver = receiver
        self._live = live
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[PullConsumer, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[PullConsumer]:
        return iter(list(self._tasks))

    def begin(self, ring: Ring, start: Start, name: str) -> None:
        """Feed a ring from an earlier place of the stream until it has caught up.

        :param ring: the ring of a subscription; ``is_replaying`` is set.
        :param start: where to begin.
        :param name: the name of the node.
        """
        consumer = Replay(self._source, self._owner, self._receiver)
        feed = Feed(self._receiver, consumer, self._subject, ring=ring, live=self._live.feed)
        if start.sequence is not None:
            feed.sequence = start.sequence
        consumer.feed, consumer.place = feed, Place(feed, start_time=start.time)
        self._tasks[consumer] = self._loop.create_task(
            consumer.run(), name=f"fastcoord {name} replay"
        )

    def received_by(self, node_id: int, incarnation: int, live: Received) -> Received | None:
        """Return how far every ring has received a run, those that still replay included.

        :param live: how far the live feed has received it; the result has the same form.
        :return: ``None`` if a replay has received no batch of this run yet.
        """
        expected, gap_end, began_at = live
        for consumer in self:
            ring = consumer.feed.ring
            if ring is None or ring.is_closed:
                continue
            received = consumer.feed.received_by(node_id, incarnation)
            if received is None:
                return None
            expected = min(expected, received[0])
        return expected, gap_end, began_at

    def tick(self) -> None:
        """End the replays whose subscription was closed, and those that have caught up."""
        for consumer in self:
            ring = consumer.feed.ring
            if ring is None or ring.is_closed:
                self._tasks.pop(consumer).cancel()
            elif consumer.is_open and consumer.feed.sid:
                self.opened(consumer)

    def opened(self, consumer: PullConsumer) -> None:
        """End the replay of a consumer that receives if it is where the live feed is."""
        feed = consumer.feed
        if not feed.is_unplaced and feed.sequence == self._live.feed.sequence:
            feed.stop()
            self.caught_up(consumer)

    def caught_up(self, consumer: PullConsumer) -> None:
        """End a replay: from the next message on, the live feed feeds the ring as well."""
        ring = consumer.feed.ring
        if consumer.place.created != self._live.place.created:
            # The live feed has not noticed yet that the stream was made anew, and begins there.
            consumer.interrupt("the stream was made anew")
            return
        task = self._tasks.pop(consumer, None)
        if ring is not None and task is not None:
            ring.is_replaying = False
            task.cancel()

    def close(self) -> list[asyncio.Task[None]]:
        """Cancel all replays.

        :return: their tasks.
        """
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        return tasks


class Replay(PullConsumer):
    """The consumer of one subscription that begins in the past.

    :param receiver: passes the messages of the consumer to its feed.
    """

    def __init__(
        self, source: StreamSource, owner: ConsumerOwner, receiver: StreamReceiver
    ) -> None:
        super().__init__(source, owner)
        self._feeds = receiver.feeds
        self._sid = 0

    def registered(self, sid: int) -> None:
        self._feeds.pop(self._sid, None)
        self._sid = sid
        self._feeds[sid] = self.feed

    def stop(self) -> None:
        self._feeds.pop(self._sid, None)
        super().stop()
