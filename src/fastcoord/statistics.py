"""What a node can say in numbers about itself and its peers; every identity adds up."""

from __future__ import annotations

import msgspec

__all__ = ["Peer", "Stats", "SubscriptionStats"]


class SubscriptionStats(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription, in events unless a name says otherwise.

    ``arrived == delivered + buffered + filtered + missed`` at any moment.
    """

    arrived: int
    """Events of other nodes that reached this subscription."""
    delivered: int
    """Of these, given to the consumer."""
    buffered: int
    """Of these, waiting in the ring."""
    filtered: int
    """Of these, of a kind that was not asked for."""
    missed: int
    """Of these, dropped because the consumer was too slow."""
    buffered_messages: int
    """Messages waiting, each a batch of events."""
    buffered_bytes: int
    """Bytes of payload waiting."""
    high_water_messages: int
    """The most messages that ever waited at once; compare with ``capacity.subscription``."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """One node, in events unless a name says otherwise.

    ``accepted == confirmed + waiting + discarded`` at any moment.
    """

    node_id: int
    incarnation: int
    """Drawn anew at each start of the node."""
    server: str | None
    """The server that is joined, or ``None`` while there is none."""
    reconnects: int
    """How often a lost connection was replaced by another."""

    accepted: int
    """Events taken by ``publish``, ``publish_nowait`` and ``publish_many``, pieces of a split event
    counted each."""
    confirmed: int
    """Of these, those that the server is known to have."""
    waiting: int
    """Of these, those that are kept here: not sent, or not confirmed."""
    discarded: int
    """Of these, those thrown away to make room or because they were too old."""
    waiting_batches: int
    """Sealed batches that are kept here; compare with ``capacity.client``."""
    sent_batches: int
    """Batches sealed so far."""
    sent_bytes: int
    """Bytes of payload handed to connections, what was sent again included."""

    received: int
    """Events of other nodes that were delivered to the subscriptions."""
    received_batches: int
    """Messages that arrived on the subject, whatever became of them."""
    received_bytes: int
    """Bytes of their payloads."""
    duplicates: int
    """Events that arrived again after a resend, and were skipped."""
    malformed: int
    """Messages of which at least a part could not be used."""
    missed: dict[str, int]
    """Events reported missing by the numbering, by cause; those of unknown number not counted."""
    duplicate_node_ids: tuple[int, ...]
    """Node ids that two running nodes were seen to use."""

    subscriptions: tuple[SubscriptionStats, ...]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another node, as far as it was heard."""

    node_id: int
    incarnation: int | None
    """``None`` for a node that does not number its batches, such as Stalwart."""
    is_up: bool | None
    """Whether it was heard within three heartbeats; ``None`` for a node that sends none."""
    last_heard: float
    """Seconds since the epoch."""
    received: int
    """Events of this node that were delivered here."""
    missed: int
    """Events of this node that are known not to have reached this node."""
    round_trip: float | None
    """Seconds that the last ``ping`` took, or ``None`` when there was none."""
