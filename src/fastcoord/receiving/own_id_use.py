"""Find out whether another running node uses the id of this node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.events import DuplicateNodeId

if TYPE_CHECKING:
    from fastcoord.receiving.runs import Runs

__all__ = ["OwnIdUse"]


class OwnIdUse:
    """The messages of other runs of this node's id.

    :param runs: the runs of the peers.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.is_used = False
        """Whether another running node uses the id; this was reported."""
        self._unnumbered_since: float | None = None
        """When a message of the id without a header was first received."""

    def received(self, incarnation: int | None) -> None:
        """Judge a message of another run of this node's id.

        :param incarnation: its incarnation; ``None`` without a header.
        """
        if self.is_used:
            return
        if incarnation is not None:
            # A server may deliver old messages of a former run late, so the run is asked.
            self._runs.watcher.verify(self._runs.receiver.node_id)
        elif self._unnumbered_since is None:
            self._unnumbered_since = self._runs.receiver.now
        elif self._runs.is_lasting(self._unnumbered_since):
            self.used()

    def used(self) -> None:
        """Report, once, that another running node uses this node's id."""
        if not self.is_used:
            self.is_used = True
            self._runs.watcher.duplicate_node_id(self._runs.receiver.node_id)
            self._runs.receiver.notify(DuplicateNodeId(self._runs.receiver.node_id))

    def begin_run(self) -> None:
        """Note that this node continues as a new run with another id."""
        self.is_used = False
        self._unnumbered_since = None
