"""The stats of a node, its subscriptions and its peers."""

from typing import Any

import msgspec

__all__ = ["Health", "Peer", "Stats", "StreamStats", "SubscriptionStats"]


class Plain(msgspec.Struct, frozen=True):
    """The base class of stats."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that ``json.dumps`` accepts."""
        plain: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        return plain


class Health(Plain, frozen=True, kw_only=True):
    """The result of ``Node.health()``: true if the node works, false with the reasons if not.

    :ivar reasons: a sentence for each problem.
    """

    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.reasons

    def __str__(self) -> str:
        return "; ".join(self.reasons) or "healthy"


class SubscriptionStats(Plain, frozen=True, kw_only=True):
    """The counters of one subscription. They count events, unless the name says otherwise.

    ``arrived == delivered + buffered + filtered + missed`` at any moment.

    :ivar name: the name given to ``subscribe``, or ``None``. After 100 names, further ones are
        ``"other"``.
    :ivar arrived: events of other nodes that reached this subscription.
    :ivar delivered: arrived events that were returned to the program.
    :ivar buffered: arrived events that wait in the ring.
    :ivar filtered: arrived events whose class ``kinds`` excludes.
    :ivar mismatched: delivered events whose payload did not fit the class of their kind. They were
        delivered as ``AppEvent``.
    :ivar missed: arrived events that were dropped because the program was too slow.
    :ivar buffered_messages: messages that wait in the ring. Each one is a batch of events.
    :ivar buffered_bytes: bytes of payload that wait in the ring.
    :ivar high_water_messages: the largest number of messages that ever waited at once. Compare it
        with ``capacity_messages``.
    :ivar capacity_messages: ``capacity.subscription``.
    :ivar capacity_bytes: ``capacity.subscription-bytes``.
    """

    name: str | None
    arrived: int
    delivered: int
    buffered: int
    filtered: int
    mismatched: int
    missed: int
    buffered_messages: int
    buffered_bytes: int
    high_water_messages: int
    capacity_messages: int
    capacity_bytes: int


class StreamStats(Plain, frozen=True, kw_only=True):
    """The state of the stream of ``cluster.stream``, as a node knows it.

    :ivar name: the name of the stream.
    :ivar sequence: the stream sequence of the last message that this node has processed.
    :ivar lag: how many messages of the stream this node has not processed, as far as it knows. It
        is catching up while this is large.
    :ivar is_receiving: whether the server has a consumer for this node, or needs none because the
        node has no subscription.
    :ivar trouble: why the stream does not accept or send messages now, or ``None``.
    :ivar consumers_made: how often a consumer was made: 1, and once more after each interruption
        or pause.
    :ivar replays: subscriptions that replay earlier messages and have not caught up.
    :ivar duplicates: events that the stream has stored twice and that were skipped.
    :ivar missed_messages: messages that the stream dropped before this node received them.
    :ivar resent_batches: batches that were sent again, because their acknowledgement was missing.
    :ivar stored_before: resent batches that the stream had stored already.
    """

    name: str
    sequence: int
    lag: int
    is_receiving: bool
    trouble: str | None
    consumers_made: int
    replays: int
    duplicates: int
    missed_messages: int
    resent_batches: int
    stored_before: int


class Stats(Plain, frozen=True, kw_only=True):
    """The counters of one node. They count events, unless the name says otherwise.

    ``accepted == confirmed + waiting + discarded`` at any moment.

    :ivar incarnation: a random number that is new at each start of the node.
    :ivar server: the address of the connected server, or ``None`` without a connection.
    :ivar connection: the state of the connection: ``"connecting"``, ``"tls"``,
        ``"authenticating"``, ``"subscribing"``, ``"connected"``, ``"suspected"``, ``"closing"`` or
        ``"closed"``.
    :ivar reconnects: how often a lost connection was replaced with a new one.
    :ivar accepted: events that ``publish``, ``publish_nowait`` and ``publish_many`` have accepted.
        Each part of a split event counts.
    :ivar confirmed: accepted events that are known to have reached the server.
    :ivar waiting: accepted events that are neither confirmed nor discarded.
    :ivar discarded: accepted events that were dropped before they were sent: ``capacity.client``
        was used up, or the events were too old, or too large for the server.
    :ivar waiting_batches: sealed batches that are not confirmed. Compare it with
        ``capacity.client``.
    :ivar sent_batches: batches sealed so far.
    :ivar sent_bytes: bytes written to connections, resent batches included.
    :ivar pace: seconds that this node leaves between two messages with events now, because a
        Stalwart node of version 0.14 or 0.15 listens or ``cluster.pace`` is set; else 0.
    :ivar received: events of other nodes that were delivered to the subscriptions.
    :ivar received_batches: messages that arrived on the subject.
    :ivar received_bytes: bytes of their payloads.
    :ivar duplicates: events that arrived again in a resend and were skipped.
    :ivar late: events that were dropped because they arrived after newer ones of their sender, or
        after a newer run of it. They were delivered before, or reported as ``Missed``.
    :ivar malformed: messages that could not be decoded completely.
    :ivar unanswered: questions of other nodes, such as pings, that this node has not answered:
        there were too many, or the reply subject was not that of their sender.
    :ivar missed: events reported as ``Missed``, by cause. For the cause ``"overflow"``, the sum
        over all subscriptions, open and closed. Losses of unknown number do not count.
    :ivar missed_unknown: losses of unknown number (``Missed`` with ``events=None``), by cause.
    :ivar duplicate_node_ids: node ids that were used by two running nodes.
    :ivar protocol_mismatches: peers that use another protocol on the same subject: node id and
        name of the protocol.
    :ivar subscriptions: the stats of each open subscription.
    :ivar closed_subscriptions: the sums of the closed subscriptions, one for each name. Their
        ``buffered`` counts the events that were dropped at the end.
    :ivar stream: the state of the stream; ``None`` without ``cluster.stream``.
    """

    node_id: int
    incarnation: int
    server: str | None
    connection: str
    reconnects: int
    accepted: int
    confirmed: int
    waiting: int
    discarded: int
    waiting_batches: int
    sent_batches: int
    sent_bytes: int
    pace: float
    received: int
    received_batches: int
    received_bytes: int
    duplicates: int
    late: int
    malformed: int
    unanswered: int
    missed: dict[str, int]
    missed_unknown: dict[str, int]
    duplicate_node_ids: tuple[int, ...]
    protocol_mismatches: dict[int, str]
    subscriptions: tuple[SubscriptionStats, ...]
    closed_subscriptions: tuple[SubscriptionStats, ...]
    stream: StreamStats | None = None


class Peer(Plain, frozen=True, kw_only=True):
    """The state of a peer, as known to this node.

    :ivar incarnation: the peer's incarnation; ``None`` for a peer that sends no sequence headers,
        such as Stalwart.
    :ivar is_up: whether a message arrived within the last three heartbeats; ``None`` for a peer
        that sends no sequence headers.
    :ivar last_heard: when the last message arrived, in seconds since the epoch.
    :ivar received: events of the peer that were delivered to the subscriptions.
    :ivar missed: events of the peer that are known to be missing here.
    :ivar round_trip: the round-trip time of the last answered ``ping``, in seconds; ``None`` if no
        ``ping`` was answered.
    """

    node_id: int
    incarnation: int | None
    is_up: bool | None
    last_heard: float
    received: int
    missed: int
    round_trip: float | None


for _kind in (Health, StreamStats, SubscriptionStats, Stats, Peer):
    # Programs and pickle import the classes from the package.
    _kind.__module__ = "fastcoord"
del _kind
