"""A Prometheus collector for nodes; needs ``fastcoord[metrics]``.

::

    from prometheus_client import REGISTRY
    from fastcoord.metrics import NodeCollector

    REGISTRY.register(NodeCollector(node))

docs/monitoring.md explains each metric.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple, get_args

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "fastcoord.metrics needs prometheus-client: pip install 'fastcoord[metrics]'",
        name="prometheus_client",
    ) from _error

from fastcoord.events import Cause

if TYPE_CHECKING:
    from prometheus_client import Metric

    from fastcoord import (
        Config,
        Health,
        Node,
        Peer,
        Stats,
        StreamStats,
        SubscriptionStats,
        blocking,
    )

__all__ = ["NodeCollector"]

READ_TIMEOUT = 5.0
"""Seconds that a scrape of another thread waits for the event loop of the nodes."""

UNNAMED = "unnamed"
CAUSES = get_args(Cause)

COUNTERS = {
    "accepted": ("accepted_events", "Events that the node has accepted for publishing."),
    "confirmed": ("confirmed_events", "Accepted events that are known to have reached the server."),
    "discarded": ("discarded_events", "Accepted events that were dropped before they were sent."),
    "sent_batches": ("sealed_batches", "Batches sealed for sending."),
    "sent_bytes": ("sent_bytes", "Bytes written to connections, resent batches included."),
    "received": ("received_events", "Events of other nodes delivered to the subscriptions."),
    "received_batches": ("received_messages", "Messages that arrived on the subject."),
    "received_bytes": ("received_bytes", "Payload bytes of the received messages."),
    "duplicates": ("duplicate_events", "Events that arrived again in a resend and were skipped."),
    "late": (
        "late_events",
        "Events dropped because newer ones of their sender arrived first.",
    ),
    "unanswered": ("unanswered_questions", "Questions of other nodes that were not answered."),
    "malformed": ("malformed_messages", "Messages that could not be decoded completely."),
    "reconnects": ("reconnects", "Lost connections that were replaced with a new one."),
}
"""The name and the help of each counter, by the field of ``Stats``."""

SUBSCRIPTION_COUNTERS = {
    "arrived": ("arrived_events", "Events that reached the subscriptions of this name."),
    "delivered": ("delivered_events", "Arrived events that were returned to the program."),
    "filtered": ("filtered_events", "Arrived events whose class the subscription excludes."),
    "mismatched": ("mismatched_events", "Delivered events that did not fit their class."),
    "missed": ("missed_events", "Arrived events that were dropped: the program was too slow."),
}
"""The same for each field of ``SubscriptionStats``."""


STREAM_COUNTERS = {
    "consumers_made": ("consumers_made", "Consumers made: one at the start and after each loss."),
    "missed_messages": (
        "missed_messages",
        "Messages that the stream dropped too early.",
    ),
    "duplicates": ("duplicate_events", "Events that the stream has stored twice; skipped."),
    "resent_batches": ("resent_batches", "Batches sent again: their acknowledgement was missing."),
    "stored_before": (
        "stored_before_batches",
        "Resent batches that the stream had stored already.",
    ),
}
"""The same for each field of ``StreamStats`` that only grows."""

STREAM_GAUGES: dict[str, tuple[str, Callable[[StreamStats], float]]] = {
    "working": (
        "Whether the stream accepts and sends messages.",
        lambda stream: stream.is_receiving and stream.trouble is None,
    ),
    "lag_messages": (
        "Messages of the stream that the node has not processed.",
        lambda stream: stream.lag,
    ),
    "sequence": (
        "The stream sequence of the last message that the node has processed.",
        lambda stream: stream.sequence,
    ),
    "replays": (
        "Subscriptions that replay earlier messages and have not caught up.",
        lambda stream: stream.replays,
    ),
}
"""The name, the help and the value of each gauge of a stream."""


class Reading(NamedTuple):
    """What a scrape reads from one node, all at the same moment."""

    config: Config
    stats: Stats
    health: Health
    peers: tuple[Peer, ...]


GAUGES: dict[str, tuple[str, Callable[[Reading], float]]] = {
    "connected": (
        "Whether the node is connected to a server.",
        lambda reading: reading.stats.server is not None,
    ),
    "healthy": ("Whether health() reports no problem.", lambda reading: bool(reading.health)),
    "waiting_events": (
        "Accepted events that are neither confirmed nor discarded.",
        lambda reading: reading.stats.waiting,
    ),
    "waiting_batches": (
        "Sealed batches that are not confirmed.",
        lambda reading: reading.stats.waiting_batches,
    ),
    "waiting_batches_limit": (
        "The setting capacity.client.",
        lambda reading: reading.config.nats.capacity.client,
    ),
    "pace_seconds": (
        "The time that the node leaves between two messages with events; 0 for none.",
        lambda reading: reading.stats.pace,
    ),
    "duplicate_node_ids": (
        "Node ids that were used by two running nodes.",
        lambda reading: len(reading.stats.duplicate_node_ids),
    ),
    "protocol_mismatches": (
        "Peers that use another protocol on the same subject.",
        lambda reading: len(reading.stats.protocol_mismatches),
    ),
    "open_subscriptions": (
        "Open subscriptions.",
        lambda reading: len(reading.stats.subscriptions),
    ),
}
"""The name, the help and the value of each gauge of a node."""


class NodeCollector(Collector):
    """Read the metrics of nodes at each scrape. Register it with a Prometheus registry.

    A scrape may come from any thread. It then waits until the event loop has read the stats. A
    registry takes one collector, which may have several nodes.

    :param nodes: nodes of the running event loop; without a running event loop, nodes of
        ``fastcoord.blocking``.
    :raises WrongLoop: a node belongs to another event loop.
    :raises ValueError: there is no node, or two nodes have the same node id, which is the label of
        their metrics.
    """

    def __init__(self, *nodes: Node | blocking.Node) -> None:
        if not nodes:
            raise ValueError("NodeCollector needs at least one node")
        self._nodes = nodes
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        ids = [reading.stats.node_id for reading in self._read()]
        for node_id in ids:
            if ids.count(node_id) > 1:
                raise ValueError(
                    f"two of the nodes have node id {node_id}: use a registry for each of them"
                )

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families.

        :raises TimeoutError: the event loop did not answer within 5 s.
        """
        yield from all_metrics(self._read_from_any_thread())

    def describe(self) -> Iterator[Metric]:
        """Yield all metric families without values, so that a registry refuses them twice."""
        yield from all_metrics(())

    def _read(self) -> list[Reading]:
        return [
            Reading(node.config, node.stats(), node.health(), node.peers()) for node in self._nodes
        ]

    async def _read_in_loop(self) -> list[Reading]:
        return self._read()

    def _read_from_any_thread(self) -> list[Reading]:
        loop = self._loop
        if loop is None or asyncio._get_running_loop() is loop or not loop.is_running():
            return self._read()
        result = asyncio.run_coroutine_threadsafe(self._read_in_loop(), loop)
        try:
            return result.result(READ_TIMEOUT)
        except concurrent.futures.TimeoutError:
            result.cancel()
            raise TimeoutError(
                f"the event loop of the nodes did not answer within {READ_TIMEOUT:g} s"
            ) from None


def all_metrics(readings: Sequence[Reading]) -> Iterator[Metric]:
    """Yield all metric families."""
    yield from node_metrics(readings)
    yield from loss_metrics(readings)
    yield from subscription_metrics(readings)
    yield from stream_metrics(readings)


def node_metrics(readings: Iterable[Reading]) -> Iterator[Metric]:
    """Yield the metrics that have one value for each node."""
    info = InfoMetricFamily("fastcoord_node", "The version and the protocol.", labels=["node_id"])
    for config, stats, _, _ in readings:
        values = {"version": version("fastcoord"), "protocol": config.cluster.protocol}
        info.add_metric([str(stats.node_id)], values)
    yield info
    for field, (name, text) in COUNTERS.items():
        counter = CounterMetricFamily(f"fastcoord_{name}", text, labels=["node_id"])
        for reading in readings:
            counter.add_metric([str(reading.stats.node_id)], getattr(reading.stats, field))
        yield counter
    for name, (text, value) in GAUGES.items():
        gauge = GaugeMetricFamily(f"fastcoord_{name}", text, labels=["node_id"])
        for reading in readings:
            gauge.add_metric([str(reading.stats.node_id)], value(reading))
        yield gauge
    states = {True: "up", False: "down", None: "unknown"}
    peers = GaugeMetricFamily(
        "fastcoord_peers", "Other nodes, by state.", labels=["node_id", "state"]
    )
    for reading in readings:
        for is_up, state in states.items():
            count = sum(peer.is_up is is_up for peer in reading.peers)
            peers.add_metric([str(reading.stats.node_id), state], count)
    yield peers


def loss_metrics(readings: Iterable[Reading]) -> Iterator[Metric]:
    """Yield the counters of losses, which have a value for each cause."""
    labels = ["node_id", "cause"]
    known = CounterMetricFamily(
        "fastcoord_missed_events", "Events reported as Missed, by cause.", labels=labels
    )
    unknown = CounterMetricFamily(
        "fastcoord_unknown_losses",
        "Reports of Missed without a number of events, by cause.",
        labels=labels,
    )
    for _, stats, _, _ in readings:
        for cause in CAUSES:
            known.add_metric([str(stats.node_id), cause], stats.missed.get(cause, 0))
            unknown.add_metric([str(stats.node_id), cause], stats.missed_unknown.get(cause, 0))
    yield known
    yield unknown


def subscription_metrics(readings: Iterable[Reading]) -> Iterator[Metric]:
    """Yield the metrics of subscriptions. Subscriptions of the same name are added up."""
    labels = ["node_id", "subscription"]
    groups: list[tuple[list[str], list[SubscriptionStats], list[SubscriptionStats]]] = []
    for _, stats, _, _ in readings:
        every = (*stats.subscriptions, *stats.closed_subscriptions)
        for name in sorted(set(map(label_of, every))):
            opened, closed = (
                [each for each in some if label_of(each) == name]
                for some in (stats.subscriptions, stats.closed_subscriptions)
            )
            groups.append(([str(stats.node_id), name], opened, closed))
    for field, (name, text) in SUBSCRIPTION_COUNTERS.items():
        counter = CounterMetricFamily(f"fastcoord_subscription_{name}", text, labels=labels)
        for label, opened, closed in groups:
            counter.add_metric(label, sum(getattr(each, field) for each in (*opened, *closed)))
        yield counter
    unread = CounterMetricFamily(
        "fastcoord_subscription_unread_events",
        "Events that were buffered when their subscription was closed.",
        labels=labels,
    )
    messages = GaugeMetricFamily(
        "fastcoord_subscription_buffered_messages", "Messages that wait.", labels=labels
    )
    size = GaugeMetricFamily(
        "fastcoord_subscription_buffered_bytes", "Payload bytes that wait.", labels=labels
    )
    fill = GaugeMetricFamily(
        "fastcoord_subscription_fill_ratio",
        "The used part of the capacity, from 0 to 1; of the fullest subscription of this name.",
        labels=labels,
    )
    for label, opened, closed in groups:
        unread.add_metric(label, sum(each.buffered for each in closed))
        messages.add_metric(label, sum(each.buffered_messages for each in opened))
        size.add_metric(label, sum(each.buffered_bytes for each in opened))
        fill.add_metric(label, max(map(fill_ratio, opened), default=0.0))
    yield from (unread, messages, size, fill)


def stream_metrics(readings: Iterable[Reading]) -> Iterator[Metric]:
    """Yield the metrics of streams; none for nodes without ``cluster.stream``."""
    streams = [
        ([str(reading.stats.node_id)], reading.stats.stream)
        for reading in readings
        if reading.stats.stream is not None
    ]
    for name, (text, value) in STREAM_GAUGES.items():
        gauge = GaugeMetricFamily(f"fastcoord_stream_{name}", text, labels=["node_id"])
        for label, stream in streams:
            gauge.add_metric(label, value(stream))
        yield gauge
    for field, (name, text) in STREAM_COUNTERS.items():
        counter = CounterMetricFamily(f"fastcoord_stream_{name}", text, labels=["node_id"])
        for label, stream in streams:
            counter.add_metric(label, getattr(stream, field))
        yield counter


def label_of(stats: SubscriptionStats) -> str:
    """Return the label of a subscription. A scrape fails if a label cannot be encoded."""
    name = stats.name or UNNAMED
    return name.encode("utf-8", "backslashreplace").decode()


def fill_ratio(stats: SubscriptionStats) -> float:
    """Return the used part of the capacity: of messages or of bytes, whichever is larger."""
    return max(
        stats.buffered_messages / stats.capacity_messages,
        stats.buffered_bytes / stats.capacity_bytes,
    )
