"""Clients of the simulated servers that are not judged: Stalwart nodes, and forked children."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastcoord import NodeClosed, StateChange, encode_batch
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.sender import Sender
from simulation.checks import FORKED_SERIAL
from simulation.network import Client, Message, Refusal, Subscription

if TYPE_CHECKING:
    from simulation.network import Server
    from simulation.node import SimulatedNode

STALWART_ID = 500


class StalwartPeer:
    """A node that publishes without headers. Its events have a serial number for each connection.

    :param subject: of the events.
    :param protocol: the name of the protocol.
    :param next_serial: returns the number of another connection.
    :param servers: returns those that can be reached.
    """

    is_paused = False

    def __init__(
        self,
        chance: random.Random,
        *,
        subject: bytes,
        protocol: str,
        next_serial: Callable[[], int],
        servers: Callable[[], list[Server]],
    ) -> None:
        self._chance = chance
        self._subject = subject
        self._protocol = protocol
        self._next_serial = next_serial
        self._servers = servers
        self.serial = 0
        self.published = 0
        self.received = 0
        self.client: Client | None = None

    def connect(self) -> None:
        """Connect if it is not connected, and a server can be reached."""
        reachable = [each for each in self._servers() if not each.is_frozen]
        if self.client is None and reachable:
            self.serial, self.published = self._next_serial(), 0
            self.client = self._chance.choice(reachable).connect(self)
            self.client.to_server.waiting.append(Subscription(self._subject, 1))

    def publish(self) -> None:
        self.connect()
        if self.client is not None:
            events = [StateChange(account_id=self.serial, change_id=self.published, types=0)]
            payload = encode_batch(events, node_id=STALWART_ID, protocol=self._protocol)
            self.client.to_server.waiting.append(Message(self._subject, b"", 0, payload))
            self.published += 1

    # ---------------------------------------------------------------- called by the network

    def subscribed(self, client: Client) -> None:
        """It needs no answer."""

    def receive(self, message: Message, sid: int) -> None:
        self.received += 1

    def accepted(self, message: Message) -> None:
        """The server needs not remember what Stalwart has published."""

    def right_changed(self, client: Client, refusal: Refusal) -> None:
        """It has all rights."""

    def lost(self, client: Client) -> None:
        if client is self.client:
            self.client = None


class ForkedChild:
    """The copy of a node in a forked child, which has inherited its connection.

    :param parent: a connected node.
    """

    def __init__(self, parent: SimulatedNode) -> None:
        connection = parent.connection
        assert connection is not None
        self._serial = FORKED_SERIAL
        self._state = NodeState()
        self._sender = Sender(
            parent.config,
            node_id=parent.node_id,
            protocol=parent.config.cluster.protocol,
            incarnation=parent.incarnation,
            state=self._state,
        )
        self._sender.connected(
            connection,  # type: ignore[arg-type]
            repeat=None,
            hold=False,
            greet=lambda: None,
        )
        self.forked()
        self.use()

    def forked(self) -> None:
        """Do what a session does in a forked child."""
        self._state.end(NodeClosed("forked"))

    def use(self) -> None:
        """Run what the child's copy of the event loop and its program may still call."""
        self._sender.batcher.add_always(
            [StateChange(account_id=self._serial, change_id=0, types=0)]
        )
        self._sender.repair()
        self._sender.beat()
