"""What every node must receive, checked after each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastcoord import DuplicateNodeId, Missed, StateChange
from fastcoord.receiving.peers import MAX_FORMER_RUNS, MAX_PEERS

if TYPE_CHECKING:
    from simulation.node import SimulatedNode

FORGED_SERIAL = 0
"""The serial number of events that no node has published."""
FIRST_STALWART = 1_000_000
"""The serial number of the first connection of a Stalwart node."""
FORKED_SERIAL = 2_000_000
"""The serial number of events that a forked child publishes."""


class ViolationError(AssertionError):
    """A node has received what the rules forbid."""


class RunRecord:
    """What one receiver got of one run.

    :ivar place: the number of the next event, after what was delivered or reported; ``None`` if
        nothing was.
    :ivar delivered_to: the number behind the last delivered event.
    :ivar is_excused: whether a loss of unknown size was reported since the last event.
    """

    __slots__ = ("delivered_to", "is_excused", "place")

    def __init__(self) -> None:
        self.place: int | None = None
        self.delivered_to = 0
        self.is_excused = False


class Observer:
    """Check what one node receives.

    :param node: the node.
    :param runs: every run by serial number.
    :param overlapped: the node ids that two running nodes have used at the same time.
    """

    def __init__(
        self, node: SimulatedNode, runs: Mapping[int, SimulatedNode], overlapped: set[int]
    ) -> None:
        self.node = node
        self.records: dict[int, RunRecord] = {}
        self.disconnects = 0
        self.last: dict[int, int] = {}
        self._unnumbered: dict[tuple[int, int], int] = {}
        self._runs = runs
        self._overlapped = overlapped
        self._excused_from = 0
        self.is_lenient = False
        """Whether messages were forged, so that a correction may take back what was reported."""

    def record(self, serial: int) -> RunRecord:
        if serial not in self.records:
            self.records[serial] = RunRecord()
        return self.records[serial]

    def check(self) -> None:
        """Take what the node has received, and check it.

        :raises ViolationError: a rule is broken.
        """
        node = self.node
        while True:
            item = node.cursor.take_event()
            if item is None:
                break
            if isinstance(item, StateChange):
                if item.account_id != FORGED_SERIAL:
                    self._event(item.account_id, item.change_id)
                else:
                    # A forged batch costs the batch whose place it takes.
                    for serial in self._runs:
                        self.record(serial).is_excused = True
            elif isinstance(item, Missed):
                self._missed(item)
            elif isinstance(item, DuplicateNodeId) and item.node_id not in self._overlapped:
                raise ViolationError(f"{self.name}: {item} is false")
        if self.disconnects != node.returns - node.is_away:
            raise ViolationError(f"{self.name}: {self.disconnects} of {node.returns} absences")
        if len(node.receiver.peers) > MAX_PEERS:
            raise ViolationError("too many peers")
        for peer in node.receiver.peers.values():
            if peer.history is not None and len(peer.history.former) > MAX_FORMER_RUNS:
                raise ViolationError("too many former runs")

    def check_confirmed(self) -> None:
        """Check that a server has accepted what counts as confirmed."""
        node = self.node
        if node.tracks_accepted:
            missing = set(range(node.sender.batcher.confirmed)) - node.accepted_numbers
            if missing:
                raise ViolationError(f"{self.name}: confirmed, but refused: {sorted(missing)}")

    @property
    def name(self) -> str:
        return f"node {self.node.node_id} (run {self.node.serial})"

    def _event(self, serial: int, number: int) -> None:
        if serial == FORKED_SERIAL:
            raise ViolationError(f"{self.name}: an event of a forked child")
        if serial >= FIRST_STALWART:
            # After a move, what the new server still receives over a slow route comes again.
            on_connection = (serial, self.disconnects)
            if number <= self._unnumbered.get(on_connection, -1):
                raise ViolationError(f"{self.name}: event {number} of a Stalwart node comes twice")
            self._unnumbered[on_connection] = number
            self.last[serial] = max(number, self.last.get(serial, -1))
            return
        record = self.record(serial)
        run = self._runs[serial]
        what = f"{self.name}: event {number} of node {run.node_id} (run {serial})"
        if number < record.delivered_to and not self._was_taken_up:
            raise ViolationError(f"{what} after {record.delivered_to - 1}")
        if record.place is None:
            if number and not record.is_excused and run.started_at > self.node.settled_at:
                raise ViolationError(f"{what} is the first one, and nothing was reported")
        elif number < record.place and not self._was_taken_up:
            raise ViolationError(f"{what} was reported as missing; the next is {record.place}")
        elif number > record.place and not record.is_excused:
            raise ViolationError(f"{what}, but {record.place} is next: a loss in silence")
        record.place = record.delivered_to = number + 1
        record.is_excused = False
        self.last[serial] = number

    @property
    def _was_taken_up(self) -> bool:
        """Whether the node has taken up a run without an answer; then events may come twice."""
        return self.node.rules._verification.taken_up > 0

    def _missed(self, item: Missed) -> None:
        if item.cause == "disconnect":
            self.disconnects += 1
        if item.cause == "overflow":
            missed, incarnation, expected = item, None, 0
        else:
            missed, incarnation, expected = self.node.losses.pop(0)
            if missed != item:
                raise ViolationError(f"{self.name}: {item} where {missed} was reported")
        for serial, run in self._runs.items():
            if run is self.node or missed.node_id not in (None, run.node_id):
                continue
            record = self.record(serial)
            if missed.events is None or missed.node_id is None:
                record.is_excused = True
                if self.is_lenient:
                    record.place = None if record.place is None else record.delivered_to
            elif run.incarnation == incarnation:
                base = expected if record.place is None else max(record.place, expected)
                record.place = base + missed.events

    def check_end(self, alive: list[SimulatedNode]) -> None:
        """Check what the node has received after every fault has ended.

        :param alive: the nodes that run at the end; each has just published an event.
        :raises ViolationError: something is lost in silence, or forever.
        """
        ids = [node.node_id for node in alive]
        for serial, run in self._runs.items():
            if run is self.node or run.node_id == self.node.node_id:
                continue
            if ids.count(run.node_id) > 1:
                continue
            total = run.published
            what = f"{self.name}: of node {run.node_id} (run {serial}, {total} events)"
            if run in alive:
                if self.last.get(serial) != total - 1:
                    raise ViolationError(f"{what} the last event is {self.last.get(serial)}")
                continue
            if self.is_lenient:
                # A forged goodbye hides that its run has crashed, until the next message of it.
                continue
            peer = self.node.receiver.peers.get(run.node_id)
            record = self.records.get(serial)
            is_known = (
                peer is not None
                and peer.has_header
                and (peer.incarnation == run.incarnation or run.incarnation in peer.history.former)
            )
            if record is None:
                if is_known and total and run.started_at > self.node.settled_at:
                    raise ViolationError(f"{what} nothing was reported")
            elif record.place is not None and not record.is_excused:
                sent = run.sender.batcher.first_unsent
                if run.was_refused:
                    # Its own program knows what the server has refused.
                    sent = max(run.accepted_numbers, default=-1) + 1
                if record.place < sent:
                    raise ViolationError(f"{what} {record.place} are known, {sent} were sent")
