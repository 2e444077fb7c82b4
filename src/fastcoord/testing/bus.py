"""``Bus``: a server in memory for the nodes of one process, with faults on command."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import fastcoord
from fastcoord.nats.dialing import MEMORY_DOMAIN, memory_networks
from fastcoord.testing.clock import Clock
from fastcoord.testing.faults import Faults, Loss
from fastcoord.testing.message import Message
from fastcoord.testing.network import Network
from fastcoord.testing.nodes import NodeOrId, end_without_goodbye, node_id_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastcoord import Node, blocking

__all__ = ["Bus"]

PORT = 4222

_numbers = itertools.count(1)


class Bus:
    """A bus in memory. Nodes of this process connect to ``url`` without sockets.

    ::

        with Bus() as bus:
            async with fastcoord.connect(bus.url, node_id=1) as node:
                ...

    The nodes run as on a server: only the socket is replaced. Each node has a server of its own in
    a cluster of servers. The methods that make faults may be called from any thread, and while the
    nodes run. They take a node or its id (``kill_node`` and ``restart_node`` need the
    node); a fault also applies to later connections of that id.

    :param seed: makes runs repeatable. While the bus runs, Python's ``random`` is seeded with it.
    :ivar clock: the clock of the nodes.
    :ivar url: the address for ``connect`` and for configurations.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.clock = Clock()
        self._host = f"bus{next(_numbers)}{MEMORY_DOMAIN}"
        self.url = f"nats://{self._host}:{PORT}"
        self._seed = seed
        self._network = Network(self._host.partition(".")[0], self.clock)
        self._random_state: Any = None

    def __repr__(self) -> str:
        return f"<Bus {self.url}: {'running' if self._network.is_running else 'not running'}>"

    # ------------------------------------------------------------------- beginning and end

    def open(self) -> None:
        """Let nodes connect. ``with Bus() as bus`` does this, and ``close`` at the end."""
        self._random_state = random.getstate()
        random.seed(self._seed)
        memory_networks[self._host] = self._network
        self._network.is_running = True

    def close(self) -> None:
        """End all connections, and let the event loops run in real time again."""
        if memory_networks.pop(self._host, None) is not None:
            self.kill()
            self.clock.detach()
            random.setstate(self._random_state)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------- the server

    def kill(self) -> None:
        """End the server at once: all connections are closed, and new ones are refused."""
        self._network.is_running = False
        for line in self._network.open_lines():
            line.close()

    def start(self) -> None:
        """Start the server again after ``kill``."""
        self._network.is_running = True

    def freeze(self) -> None:
        """Suspend the server: it accepts connections, and neither reads nor answers."""
        self._network.is_frozen = True
        self._network.update_stalls()

    def thaw(self) -> None:
        """Let the server continue after ``freeze``."""
        self._network.is_frozen = False
        self._network.update_stalls()

    def refuse_connections(self) -> None:
        """Refuse new connections to the server; open ones stay."""
        self._network.is_refusing = True

    def accept_connections(self) -> None:
        """Accept new connections again after ``refuse_connections``."""
        self._network.is_refusing = False

    # ----------------------------------------------------------------- faults of one node

    def cut(self, node: NodeOrId) -> None:
        """Reset the connection of a node, and refuse its attempts to connect until ``restore``.

        What is on the way is lost.

        :param node: a node or its id.
        """
        faults = self._network.faults_of(node)
        faults.is_cut = True
        for line in self._network.lines_of(node):
            line.reset()

    def disconnect(self, node: NodeOrId) -> None:
        """Reset the connection of a node, which may connect again at once.

        :param node: a node or its id.
        """
        for line in self._network.lines_of(node):
            line.reset()

    def stall(self, node: NodeOrId) -> None:
        """Hold back all bytes of a node in both directions until ``restore``.

        Its connection stays open, and its attempts to connect are not answered, as behind a router
        that has failed. When the node gives the connection up, the held bytes are lost.

        :param node: a node or its id.
        """
        self._network.faults_of(node).is_stalled = True
        self._network.update_stalls()

    def delay(self, node: NodeOrId, seconds: float) -> None:
        """Let the bytes of a node take some time, in each direction.

        :param node: a node or its id.
        :param seconds: the time for one direction; 0 ends the delay.
        :raises ValueError: ``seconds`` is negative.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
        self._network.faults_of(node).delay = seconds

    def lose(
        self,
        node: NodeOrId,
        messages: int | None = 1,
        *,
        published: bool = False,
        where: Callable[[Message], bool] | None = None,
    ) -> None:
        """Lose messages between the server and a node.

        :param node: a node or its id.
        :param messages: how many messages are lost; ``None`` for all until ``restore``.
        :param published: whether messages are lost that the node publishes, for all its peers;
            otherwise messages that it should receive.
        :param where: is called with each message and returns whether it is lost. By default,
            messages with events are lost, and heartbeats are not.
        :raises ValueError: ``messages`` is below 1.
        """
        if messages is not None and messages < 1:
            raise ValueError(f"messages must be at least 1, or None for all, not {messages!r}")
        faults = self._network.faults_of(node)
        losses = faults.lost_to_server if published else faults.lost_to_node
        losses.append(Loss(messages, has_events if where is None else where))

    def refuse(
        self, node: NodeOrId, *, publish: bool | str = False, subscribe: bool | str = False
    ) -> None:
        """Take rights from a node, as a server whose permissions change.

        :param node: a node or its id.
        :param publish: the subject on which it may not publish; ``True`` for every subject.
        :param subscribe: the subject to which it may not subscribe; ``True`` for every subject.
            A subject may have the wildcards ``*`` and ``>``.
        :raises ValueError: neither ``publish`` nor ``subscribe`` is given.
        """
        if not publish and not subscribe:
            raise ValueError("name the right to refuse: publish=True, subscribe=True or a subject")
        faults = self._network.faults_of(node)
        if publish:
            faults.refused_publish.append(">" if publish is True else publish)
        if subscribe:
            faults.refused_subscribe.append(">" if subscribe is True else subscribe)
        with self._network.lock:
            self._network.server.review_rights(node_id_of(node))

    def refuse_credentials(self, node: NodeOrId) -> None:
        """Refuse the credentials of a node at its next connections.

        :param node: a node or its id.
        """
        self._network.faults_of(node).is_unauthorized = True

    def restore(self, node: NodeOrId) -> None:
        """End all faults of a node, except ``part``.

        :param node: a node or its id.
        """
        faults, healthy = self._network.faults_of(node), Faults()
        for name, value in vars(healthy).items():
            setattr(faults, name, value)
        self._network.update_stalls()

    # -------------------------------------------------------------------- between the nodes

    def part(
        self, nodes: NodeOrId | Iterable[NodeOrId], others: NodeOrId | Iterable[NodeOrId]
    ) -> None:
        """Part the routes between the servers of some nodes and those of others.

        All nodes stay connected. What they publish reaches only the nodes on their own side.

        :param nodes: nodes or ids, one or several.
        :param others: the nodes from which they are parted.
        :raises ValueError: a node is on both sides.
        """
        one_side, other_side = _ids(nodes), _ids(others)
        both = sorted(set(one_side) & set(other_side))
        if both:
            raise ValueError(f"node {both[0]} cannot be on both sides")
        with self._network.lock:
            for pair in itertools.product(one_side, other_side):
                self._network.server.parted.add(frozenset(pair))

    def heal(self) -> None:
        """Connect all servers again after ``part``. What was published meanwhile is lost."""
        with self._network.lock:
            self._network.server.parted.clear()

    def kill_node(self, node: Node | blocking.Node) -> None:
        """End a node without a goodbye, as if its process was killed.

        What it has not sent is lost. Its subscriptions end, and its other calls raise
        ``NodeClosed``.

        :param node: an asynchronous or a blocking node of this bus.
        :raises TypeError: ``node`` is not a node.
        """
        lines = self._network.lines_of(node)
        end_without_goodbye(node)
        for line in lines:
            line.kill()

    async def restart_node(self, node: Node) -> Node:
        """Kill a node, and start it again with the same configuration.

        :param node: an asynchronous node of this bus.
        :return: the new node, which the caller closes.
        """
        self.kill_node(node)
        return await fastcoord.connect(node.config)


def has_events(message: Message) -> bool:
    """Return whether a message has events."""
    return bool(message.events)


def _ids(nodes: NodeOrId | Iterable[NodeOrId]) -> list[int]:
    if isinstance(nodes, Iterable):
        return [node_id_of(node) for node in nodes]
    return [node_id_of(nodes)]
