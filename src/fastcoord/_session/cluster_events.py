"""What a node learns about its cluster from the messages of its peers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastcoord._session.parts import Parts
from fastcoord.events import Missed
from fastcoord.presence.own_id import new_incarnation

if TYPE_CHECKING:
    from collections.abc import Container

    from fastcoord.presence.questions import Answer

__all__ = ["ClusterEvents"]

logger = logging.getLogger("fastcoord")


class ClusterEvents(Parts):
    """The callbacks of the rules, of the stream, and of the choice of a node id."""

    def missed(self, missed: Missed) -> None:
        self._losses.note(missed)

    def discarded(self, events: int, cause: str, reason: str) -> None:
        self._losses.discarded(events, cause, reason, logging.ERROR)

    @property
    def peer_ids(self) -> Container[int]:
        """The ids of the nodes from which something was received."""
        return self._receiver.peers

    def begin_run(self, node_id: int) -> None:
        """Continue as another run with this id."""
        self.node_id, self.incarnation = node_id, new_incarnation()
        self.sender.begin_run(node_id, self.incarnation)
        self._receiver.rename(node_id, self.incarnation)
        self._rules.begin_run()
        self._presence.begin_run(node_id, self.incarnation)
        self.name = self._supervisor.name = self._losses.name = self._errors.name = (
            f"node {node_id}"
        )
        if self._stream is not None:
            self._stream.name = self.name

    def lost_by_same_id(self, other: Answer) -> None:
        """Report that events of a node may have been dropped because it had the same id."""
        missed = Missed(other.node_id, None, "gap")
        self.missed(missed)
        self._receiver.notify(missed)
        if self._stream is None and other.node_id != self.node_id:
            self._rules.join.introduced(
                other.node_id,
                other.incarnation,
                other.connection,
                other.offset,
                other.discarded,
            )

    def _take_same_id(self, answer: Answer) -> bool:
        return self._own_id.same_id(answer)

    # ---------------------------------------------------------------- called by the rules

    def duplicate_node_id(self, node_id: int) -> None:
        # A node often finds out while it joins, before its program can subscribe.
        if node_id == self.node_id and not self._receiver.rings:
            self._is_duplicate_unreported = True
        self._errors.duplicate_node_id(node_id)

    def protocol_mismatch(self, node_id: int, protocol: str) -> None:
        self._errors.protocol_mismatch(node_id, protocol)

    def protocol_mismatch_ended(self, node_id: int) -> None:
        self._errors.protocol_mismatches.pop(node_id, None)

    def stalwart_received(self, now: float) -> None:
        self._stalwart_received_at = now
        if not self.sender.pace.is_on:
            self._update_pace(now)

    def verify(self, node_id: int) -> bool:
        is_asked = self._presence.verify(node_id)
        if is_asked and self.is_auto and node_id == self.node_id:
            # The other node may change its id before it answers. What it has sent was dropped.
            missed = Missed(node_id, None, "gap")
            self.missed(missed)
            self._receiver.notify(missed)
        return is_asked

    def _update_pace(self, now: float) -> None:
        pace = self.sender.pace
        if pace.update(self._stalwart_received_at, now):
            logger.warning(
                "%s: a Stalwart node of version 0.14 or 0.15 is on %s: from now on, messages with"
                " events are sent at least %g ms apart (cluster.pace); Stalwart 0.16 needs no pace",
                self.name,
                self.config.cluster.subject,
                pace.seconds * 1000,
            )
