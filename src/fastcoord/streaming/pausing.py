"""Receive nothing from the stream while a busy node has no subscription.

A consumer costs the server and the node as much for each message whether the program reads it or
not. So the consumer of a node without a subscription is removed once it has sent a number of
messages that nobody reads. Until a subscription needs it, the node asks for the end of the stream
once per heartbeat, and takes its own place from the acknowledgements of its batches. A subscription
then begins behind the last known end. So it receives everything that is stored after it was made,
and possibly messages that were stored up to one heartbeat before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastcoord.errors import ConnectionLost, PermissionDenied, RequestTimeout, StreamError

if TYPE_CHECKING:
    from fastcoord.streaming.pull_consumer import ConsumerOwner, PullConsumer
    from fastcoord.streaming.source import StreamSource

__all__ = ["Pausing", "Received"]

MAX_RUNS = 256
"""Runs of peers for which the end of the stream is known; the oldest is forgotten."""

Received = tuple[int, int, int]


class Pausing:
    """Pause the consumer of new events, and find its place again.

    :param source: the stream and the connection to it.
    :param owner: receives the callbacks about trouble.
    :param live: the consumer of new events.
    """

    def __init__(self, source: StreamSource, owner: ConsumerOwner, live: PullConsumer) -> None:
        self._source = source
        self._owner = owner
        self._live = live
        self._loop = asyncio.get_running_loop()
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._ends: dict[tuple[int, int], tuple[int, int | None]] = {}
        """For each run of a peer: an offset, and the end of the stream after that was stored."""

    def tick(self, now: float, *, is_refused: bool) -> None:
        """Ask for the state of the stream when a heartbeat is over. Call this periodically.

        :param is_refused: whether the stream accepts no batches: its settings may have changed.
        """
        if (self._live.is_paused or is_refused) and now - self._asked_at >= self._source.heartbeat:
            self._ask()

    def _ask(self) -> None:
        if self._asking is None and self._source.connection is not None:
            self._asked_at = self._loop.time()
            self._asking = self._loop.create_task(self._learn_end(), name="fastcoord end of stream")

    async def _learn_end(self) -> None:
        source, live = self._source, self._live
        asked = {key: up_to for key, (up_to, end) in self._ends.items() if end is None}
        try:
            if source.jetstream is None:
                return
            info = await source.jetstream.stream_info(source.stream)
        except (StreamError, RequestTimeout, PermissionDenied, ConnectionLost) as error:
            if live.is_paused:
                self._owner.in_trouble(live, error)
            return
        finally:
            self._asking = None
        source.observe(info)
        for key, up_to in asked.items():
            if self._ends.get(key) == (up_to, None):
                self._ends[key] = (up_to, info.state.last_seq)
        if live.is_paused:
            live.advance(info)
            self._owner.receiving(live)

    def received_by(self, node_id: int, incarnation: int, up_to: int) -> Received | None:
        """Return how far a run of a peer was received; the parameters and the result are those of
        ``Rules.received_by``.

        Without a subscription, no ring misses anything. A run of which nothing was received since
        the consumer began again has stored nothing since then, as soon as everything was received
        that the stream had when the peer asked.
        """
        feed = self._live.feed
        if self._live.is_paused:
            return (up_to, 0, 0)
        received = feed.received_by(node_id, incarnation)
        if received is None and up_to == 0:
            # The run has published nothing, so that the stream never shows it.
            return (0, 0, 0)
        if not feed.has_advanced:
            return received
        key = (node_id, incarnation)
        if received is not None:
            self._ends.pop(key, None)
            return (received[0], received[1], 0)
        offset, end = self._ends.get(key, (-1, None))
        if offset != up_to:
            self._ends.pop(key, None)
            self._ends[key] = (up_to, None)
            if len(self._ends) > MAX_RUNS:
                del self._ends[next(iter(self._ends))]
        elif end is not None and feed.sequence >= end:
            return (up_to, 0, 0)
        self._ask()
        return None

    async def close(self) -> None:
        """Cancel a request for the end of the stream."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
