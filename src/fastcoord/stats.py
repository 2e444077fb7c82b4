"""The stats of a node, its subscriptions and its peers."""

import msgspec

__all__ = ["Peer", "Stats", "SubscriptionStats"]


class SubscriptionStats(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription, in events unless a name says otherwise.

    ``arrived == delivered + buffered + filtered + missed`` at any moment.

    :ivar arrived: events of other nodes that reached this subscription.
    :ivar delivered: of these, returned to the program.
    :ivar buffered: of these, waiting in the ring.
    :ivar filtered: of these, of a kind that ``kinds`` excludes.
    :ivar missed: of these, dropped because the program was too slow.
    :ivar buffered_messages: messages waiting, each a batch of events.
    :ivar buffered_bytes: bytes of payload waiting.
    :ivar high_water_messages: the most messages that ever waited at once; compare with
        ``capacity.subscription``.
    """

    arrived: int
    delivered: int
    buffered: int
    filtered: int
    missed: int
    buffered_messages: int
    buffered_bytes: int
    high_water_messages: int


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """One node, in events unless a name says otherwise.

    ``accepted == confirmed + waiting + discarded`` at any moment.

    :ivar incarnation: drawn anew at each start of the node.
    :ivar server: the server that is joined, or ``None`` while there is none.
    :ivar connection: the state of the connection: ``"connecting"``, ``"tls"``,
        ``"authenticating"``, ``"subscribing"``, ``"connected"``, ``"suspected"``, ``"closing"`` or
        ``"closed"``.
    :ivar reconnects: how often a lost connection was replaced by another.
    :ivar accepted: events accepted by ``publish``, ``publish_nowait`` and ``publish_many``,
        pieces of a split event counted each.
    :ivar confirmed: of these, those that the server is known to have.
    :ivar waiting: of these, those that are kept here: not sent or not confirmed.
    :ivar discarded: of these, those discarded because ``capacity.client`` was used up, or by age.
    :ivar waiting_batches: sealed batches that are kept here; compare with
        ``capacity.client``.
    :ivar sent_batches: batches sealed so far.
    :ivar sent_bytes: bytes handed to connections, resent batches included.
    :ivar received: events of other nodes that were delivered to the subscriptions.
    :ivar received_batches: messages that arrived on the subject.
    :ivar received_bytes: bytes of their payloads.
    :ivar duplicates: events that arrived again after a resend, and were skipped.
    :ivar malformed: messages of which at least a part could not be decoded.
    :ivar missed: events reported as ``Missed``, by cause; losses of unknown number are not counted.
    :ivar duplicate_node_ids: node ids that two running nodes were seen to use.
    :ivar protocol_mismatches: peers that use another protocol on the same subject, with its name.
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
    received: int
    received_batches: int
    received_bytes: int
    duplicates: int
    malformed: int
    missed: dict[str, int]
    duplicate_node_ids: tuple[int, ...]
    protocol_mismatches: dict[int, str]
    subscriptions: tuple[SubscriptionStats, ...]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another node, as this node knows it.

    :ivar incarnation: ``None`` for a node that does not number its batches, such as Stalwart.
    :ivar is_up: whether a message arrived within three heartbeats; ``None`` for a node that sends
        none.
    :ivar last_heard: seconds since the epoch.
    :ivar received: events of this node that were delivered here.
    :ivar missed: events of this node that are known not to have reached this node.
    :ivar round_trip: seconds of the last ``ping``; ``None`` without one.
    """

    node_id: int
    incarnation: int | None
    is_up: bool | None
    last_heard: float
    received: int
    missed: int
    round_trip: float | None


for _kind in (SubscriptionStats, Stats, Peer):
    # Programs import them from the package, and pickle finds them there.
    _kind.__module__ = "fastcoord"
del _kind
