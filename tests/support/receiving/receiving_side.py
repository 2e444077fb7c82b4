"""The receiving side of one node without a network: messages in, consumed items out.

Receiver, rules, ring and cursor are the real ones. The clock is a number, and the watcher
records its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import fastcoord
from fastcoord import (
    DuplicateNodeId,
    Missed,
    PeerDown,
    PeerUp,
    ProtocolMismatch,
    StateChange,
)
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.notices import fold, overflow_notices
from fastcoord.receiving.receiver import Receiver
from fastcoord.receiving.ring import Ring
from fastcoord.receiving.rules import Rules
from support.receiving.messages import deliver

PROTOCOL = "stalwart-0.15"
RECEIVER = 1
SENDER = 7
INCARNATION = 5
HEARTBEAT = 2.0
EVENTS_SUBSCRIPTION = 1
PRESENCE_SUBSCRIPTION = 2
REPLY_SUBSCRIPTION = 3

Received = int | Missed | PeerUp | PeerDown | DuplicateNodeId | ProtocolMismatch
"""What a consumer gets: the number of an event, or a notice."""


class Watcher:
    """Records the calls of the rules."""

    def __init__(self) -> None:
        self.losses: list[Missed] = []
        self.duplicate_ids: list[int] = []
        self.mismatches: dict[int, str] = {}
        self.questions: list[int] = []
        self.can_ask = True
        self.stalwart_received_at: float | None = None
        self.returns = 0

    def missed(self, missed: Missed) -> None:
        self.losses.append(missed)

    def protocol_mismatch(self, node_id: int, protocol: str) -> None:
        self.mismatches[node_id] = protocol

    def protocol_mismatch_ended(self, node_id: int) -> None:
        del self.mismatches[node_id]

    def duplicate_node_id(self, node_id: int) -> None:
        self.duplicate_ids.append(node_id)

    def stalwart_received(self, now: float) -> None:
        self.stalwart_received_at = now

    def verify(self, node_id: int) -> bool:
        if self.can_ask:
            self.questions.append(node_id)
        return self.can_ask

    def peers_are_back(self) -> None:
        self.returns += 1


class ReceivingSide:
    """The receiving side of a node.

    Events are ``StateChange`` with their number as ``change_id``.

    :param settled: whether the node started more than two heartbeats ago.
    :param peers: whether its consumer wants ``PeerUp`` and ``PeerDown``.
    :param on_question: called for each question and answer.
    """

    def __init__(
        self,
        *,
        settled: bool = True,
        peers: bool = False,
        deliver_own: bool = False,
        on_question: Callable[..., object] | None = None,
    ) -> None:
        self.watcher = Watcher()
        self.rules = Rules(heartbeat=HEARTBEAT, started_at=0.0, watcher=self.watcher)
        self.receiver = Receiver(
            node_id=RECEIVER,
            incarnation=INCARNATION,
            protocol=PROTOCOL,
            deliver_own=deliver_own,
            rules=self.rules,
            on_request=_unexpected,
            on_question=on_question or _unexpected,
        )
        self.receiver.events_sid = EVENTS_SUBSCRIPTION
        self.receiver.presence_sid = PRESENCE_SUBSCRIPTION
        self.receiver.reply_sid = REPLY_SUBSCRIPTION
        self.rules.attach(self.receiver)
        self.now = 100.0 if settled else 0.0
        self.ring = Ring(1 << 16, 1 << 30, unwanted=() if peers else (PeerUp, PeerDown), fold=fold)
        self.receiver.add_ring(self.ring)
        self.cursor = Cursor(
            self.ring,
            protocol=PROTOCOL,
            kinds=None,
            as_notices=overflow_notices,
            get_loop=_unexpected,
        )

    @property
    def now(self) -> float:
        return self.receiver.now

    @now.setter
    def now(self, now: float) -> None:
        self.receiver.now = now

    def receive(
        self,
        offset: int,
        count: int,
        *,
        incarnation: int = INCARNATION,
        discarded: int = 0,
        claimed: int | None = None,
        node_id: int = SENDER,
        note: str | None = None,
        connection: int = 0,
        tail: bytes = b"",
    ) -> list[Received]:
        """Receive a batch whose events have their offsets as numbers.

        :param claimed: the count in the header, if it differs from ``count``.
        :param tail: undecodable bytes after the events.
        :return: the items that the consumer gets.
        """
        claimed = count if claimed is None else claimed
        numbers = (incarnation, offset, claimed, discarded, connection)
        return self.receive_payload(
            numbers, payload(range(offset, offset + count), node_id) + tail, note
        )

    def receive_presence(
        self,
        offset: int,
        *,
        incarnation: int = INCARNATION,
        discarded: int = 0,
        node_id: int = SENDER,
        note: str | None = None,
        connection: int = 0,
        silence: int = 0,
    ) -> list[Received]:
        """Receive a heartbeat, a hello or a goodbye on the presence subject."""
        numbers = (incarnation, offset, 0, discarded, connection, silence)
        deliver(self.receiver, PRESENCE_SUBSCRIPTION, payload([], node_id), numbers, note=note)
        return self.taken()

    def answer(
        self,
        offset: int,
        *,
        incarnation: int = INCARNATION,
        node_id: int = SENDER,
        connection: int = 0,
        discarded: int = 0,
    ) -> list[Received]:
        """Receive the own word of a node as the answer to the last question."""
        self.rules.own_word(node_id, incarnation, connection, offset, discarded, self.now)
        return self.taken()

    def tick(self, seconds: float) -> list[Received]:
        """Let time pass, and run the rules' timer."""
        self.now += seconds
        self.rules.tick(self.now)
        return self.taken()

    def return_after(self, seconds: float) -> list[Received]:
        """Lose the connection, and get another one."""
        self.rules.disconnected()
        self.now += seconds
        self.rules.connected(self.now)
        return self.taken()

    def receive_unnumbered(
        self, events: Sequence[int] = (), *, node_id: int = SENDER, tail: bytes = b""
    ) -> list[Received]:
        """Receive a batch without a sequence header, as a Stalwart node sends it."""
        return self.receive_payload(None, payload(events, node_id) + tail)

    def receive_payload(
        self,
        numbers: tuple[int, ...] | str | None,
        content: bytes,
        note: str | None = None,
    ) -> list[Received]:
        """Receive a message with any header and payload."""
        deliver(self.receiver, EVENTS_SUBSCRIPTION, content, numbers, note=note)
        return self.taken()

    def taken(self) -> list[Received]:
        """Take all buffered items."""
        out: list[Received] = []
        while (item := self.cursor.take_event()) is not None:
            if isinstance(item, StateChange):
                out.append(item.change_id)
            else:
                assert isinstance(item, Received)
                assert not isinstance(item, int)
                out.append(item)
        return out


def payload(events: Sequence[int], node_id: int = SENDER) -> bytes:
    """Encode events with these numbers."""
    changes = [StateChange(number % 8, number % (1 << 64), 1) for number in events]
    return fastcoord.encode_batch(changes, node_id=node_id, protocol=PROTOCOL)


def _unexpected(*arguments: Any) -> Any:
    raise AssertionError(f"an unexpected call with {arguments}")
