"""Actions on what surrounds the nodes: clocks, rights, forks and Stalwart nodes."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

from simulation.bystanders import ForkedChild, StalwartPeer
from simulation.checks import FIRST_STALWART, ViolationError
from simulation.node import HEARTBEAT, PROTOCOL, SUBJECT, SimulatedNode

if TYPE_CHECKING:
    from simulation.network import Network, Server
    from simulation.world import Action

MAX_STALWART = 2


class Surroundings:
    """The part of a world that holds these actions."""

    chance: random.Random
    network: Network
    alive: list[SimulatedNode]

    def __init__(self) -> None:
        self.stalwart: list[StalwartPeer] = []
        self._serials = itertools.count(FIRST_STALWART)
        self._children: list[ForkedChild] = []

    # ------------------------------------------------------------------------------- clocks

    def do_jump(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        """Let the clock of a node jump forward."""
        if node is not None:
            node.clock.jump((0.4, 1.5, 5.0, 100.0)[action.second % 4] * HEARTBEAT)

    def do_stop_clock(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            node.clock.stop()
            # Two heartbeats of its clock are over at an unknown time.
            node.settled_at = float("inf")

    def do_run_clocks(self, action: Action, node: Any, server: Server) -> None:
        for each in self.alive:
            each.run_clock()

    # ------------------------------------------------------------------------------- rights

    def do_refuse(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        """Take a right on the events' subject from a node."""
        if node is not None:
            direction = ("publish", "subscribe")[action.second % 2]
            node.refused_rights.add((direction, SUBJECT))
            if direction == "subscribe" and node.connection is not None:
                node.connection.client.refuse_subscription(SUBJECT)

    def do_grant(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            node.refused_rights.clear()

    # --------------------------------------------------------------- forks, Stalwart nodes

    def do_fork(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None and node.connection is not None:
            self._children.append(ForkedChild(node))

    def do_stalwart(self, action: Action, node: Any, server: Server) -> None:
        """Let a Stalwart node publish."""
        if len(self.stalwart) < MAX_STALWART:
            self.stalwart.append(
                StalwartPeer(
                    self.chance,
                    subject=SUBJECT,
                    protocol=PROTOCOL,
                    next_serial=self._serials.__next__,
                    servers=lambda: self.network.alive,
                )
            )
        self.stalwart[action.second % len(self.stalwart)].publish()

    # ---------------------------------------------------------------------------------- end

    def heal_surroundings(self) -> None:
        for node in self.alive:
            node.refused_rights.clear()
            node.run_clock()

    def use_children(self) -> None:
        for child in self._children:
            child.use()

    def check_stalwart(self, last: dict[int, int], name: str) -> None:
        """Check that a node has received the last event of each Stalwart node.

        :param last: the last event that the node has received of each serial number.
        """
        for peer in self.stalwart:
            if peer.client is not None and last.get(peer.serial) != peer.published - 1:
                raise ViolationError(
                    f"{name}: of {peer.published} events of a Stalwart node the last one is"
                    f" {last.get(peer.serial)}"
                )
