"""The description of a load for which capacities are chosen."""

from __future__ import annotations

import math

import msgspec

from fastcoord.tuning.load import Load

__all__ = ["SHORTEST_RUN", "Workload"]

SHORTEST_RUN = 4.0
MOST_PUBLISHERS = 8
"""Measured runs have at most so many publishing processes; :meth:`Workload.with_outage` keeps the
rate of each of them, the other runs keep the rate of all together."""

LONGEST_KEPT_STALL = 3.0
"""Seconds. A node with a stream waits five seconds for a subscription that takes nothing; then its
ring overflows, as on plain NATS."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A load, and what the nodes have to withstand.

    :ivar load: the events. Its ``rate`` is what one subscriber receives from all nodes together,
        its ``publishers`` the number of nodes that publish.
    :ivar event_bytes: the average size of an event on the wire.
    :ivar largest_event: the size of the largest event.
    :ivar stall: the longest time for which a consumer may stop to read, in seconds.
    :ivar outage: the longest time without a connection that publishers bridge, in seconds.
    :ivar objectives: figures to reach, as text.
    :ivar memory: the memory that the queues of one node may use, in bytes; ``None`` for no limit.
    :ivar stream: whether a JetStream stream stores the events.
    """

    load: Load
    event_bytes: float
    stall: float = 0.0
    outage: float = 0.0
    objectives: str = ""
    memory: int | None = None
    largest_event: int = 0
    stream: bool = False

    @property
    def stream_keeps_stall(self) -> bool:
        """Whether the stream keeps what a stalled consumer has not read."""
        return self.stream and self.stall <= LONGEST_KEPT_STALL

    def steady(self, seconds: float = SHORTEST_RUN) -> Load:
        """Return the load without stall or outage."""
        return self._changed(seconds, seconds)

    def with_stall(self, seconds: float = SHORTEST_RUN) -> Load:
        """Return the load with the stall."""
        # A stall begins after a fifth of the run; the load goes on for a while after it.
        return self._changed(seconds, max(seconds, self.stall * 1.6 + 0.5), stall=self.stall)

    def with_outage(self, seconds: float = SHORTEST_RUN) -> Load:
        """Return the load with the outage, and enough time to reconnect."""
        duration = math.ceil(max(seconds, self.outage * 3.2 + 2))
        return self._changed(seconds, duration, outage=self.outage)

    def _changed(self, steady: float, seconds: float, **incident: float) -> Load:
        load = self.load
        assert load.rate is not None
        publishers = min(load.publishers, MOST_PUBLISHERS)
        share = publishers / load.publishers if incident.get("outage") else 1.0
        return msgspec.structs.replace(
            load,
            rate=load.rate * share,
            publishers=publishers,
            seconds=seconds,
            warm_up=min(1.0, steady / 4),
            **incident,
        )
