"""The arriving side of one node without a network: what is heard goes in, what is consumed out.

Receiver, gap detector, ring and cursor are the real ones. The clock is a number, and the watcher is
a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastcoord
from fastcoord import DuplicateNodeId, Missed, PeerDown, PeerUp, StateChange
from fastcoord.receiving.consumer import fold, overflow_notices
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.gaps import GapDetector
from fastcoord.receiving.receiver import Receiver
from fastcoord.receiving.ring import Ring
from support.receiving.messages import deliver

PROTOCOL = "stalwart-0.15"
RECEIVER = 1
SENDER = 7
INCARNATION = 5
HEARTBEAT = 2.0
EVENTS_SUBSCRIPTION = 1

Heard = int | Missed | PeerUp | PeerDown | DuplicateNodeId
"""What a consumer gets: an event as its number, a notice as itself."""


class Watching:
    """Keeps what the gap_detector notices about the cluster."""

    def __init__(self) -> None:
        self.losses: list[Missed] = []
        self.duplicate_ids: list[int] = []
        self.greetings = 0
        self.returns = 0

    def missed(self, missed: Missed) -> None:
        self.losses.append(missed)

    def duplicate_node_id(self, node_id: int) -> None:
        self.duplicate_ids.append(node_id)

    def greeted(self) -> None:
        self.greetings += 1

    def peers_are_back(self) -> None:
        self.returns += 1


class ReceivingSide:
    """A node that hears others.

    Events are ``StateChange``; their ``change_id`` is the number under which they come out.

    :param settled: whether it has been there for longer than two heartbeats.
    :param peers: whether its consumer wants ``PeerUp`` and ``PeerDown``.
    """

    def __init__(
        self, *, settled: bool = True, peers: bool = False, deliver_own: bool = False
    ) -> None:
        self.watching = Watching()
        self.gap_detector = GapDetector(heartbeat=HEARTBEAT, started_at=0.0, watcher=self.watching)
        self.receiver = Receiver(
            node_id=RECEIVER,
            incarnation=INCARNATION,
            protocol=PROTOCOL,
            deliver_own=deliver_own,
            gap_detector=self.gap_detector,
            on_request=_unexpected,
        )
        self.receiver.events_sid = EVENTS_SUBSCRIPTION
        self.gap_detector.receiver = self.receiver
        self.now = 100.0 if settled else 0.0
        self.ring = Ring(1 << 16, 1 << 30, unwanted=() if peers else (PeerUp, PeerDown), fold=fold)
        self.receiver.add_ring(self.ring)
        self.cursor = Cursor(
            self.ring,
            protocol=PROTOCOL,
            kinds=None,
            as_notices=overflow_notices,
            wait_for_event=_unexpected,
            wait_for_batch=_unexpected,
        )

    @property
    def now(self) -> float:
        return self.receiver.now

    @now.setter
    def now(self, now: float) -> None:
        self.receiver.now = now

    def hear(
        self,
        offset: int,
        count: int,
        *,
        incarnation: int = INCARNATION,
        discarded: int = 0,
        claimed: int | None = None,
        node_id: int = SENDER,
        note: str | None = None,
        tail: bytes = b"",
    ) -> list[Heard]:
        """Hear a batch whose events are numbered like their offsets.

        :param claimed: the count that the header gives, if that is not the true one.
        :param tail: bytes behind the events that are none.
        :return: what a consumer gets of it.
        """
        numbers = (incarnation, offset, count if claimed is None else claimed, discarded)
        return self.hear_payload(
            numbers, payload(range(offset, offset + count), node_id) + tail, note
        )

    def hear_unnumbered(
        self, events: Sequence[int] = (), *, node_id: int = SENDER, tail: bytes = b""
    ) -> list[Heard]:
        """Hear a batch without the header, as a Stalwart node sends it."""
        return self.hear_payload(None, payload(events, node_id) + tail)

    def hear_payload(
        self,
        numbers: tuple[int, int, int, int] | str | None,
        content: bytes,
        note: str | None = None,
    ) -> list[Heard]:
        """Hear any message."""
        deliver(self.receiver, EVENTS_SUBSCRIPTION, content, numbers, note=note)
        return self.taken()

    def taken(self) -> list[Heard]:
        """Take all that waits for the consumer."""
        out: list[Heard] = []
        while (item := self.cursor.take_event()) is not None:
            if isinstance(item, StateChange):
                out.append(item.change_id)
            else:
                assert isinstance(item, Missed | PeerUp | PeerDown | DuplicateNodeId)
                out.append(item)
        return out


def payload(events: Sequence[int], node_id: int = SENDER) -> bytes:
    """Encode events of these numbers."""
    changes = [StateChange(number % 8, number % (1 << 64), 1) for number in events]
    return fastcoord.encode_batch(changes, node_id=node_id, protocol=PROTOCOL)


def _unexpected(*arguments: Any) -> Any:
    raise AssertionError(f"nobody should have been told {arguments}")
