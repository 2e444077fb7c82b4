"""A model of NATS servers, their routes and the connections of clients.

A server passes a message to its own clients, and once over each route: routes are not transitive.
Bytes wait in pipes, one for each direction, until the schedule lets them arrive. A pipe keeps its
order. It may stall, and lose what it holds when it is cut. What a client had written before it left
may still arrive at the server.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Set
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """A published message."""

    subject: bytes
    reply: bytes
    header_size: int
    body: bytes


class Ping(NamedTuple):
    """A PING of a client, or its PONG."""

    answered: Callable[[], None]


class Refusal(NamedTuple):
    """The -ERR of a server that refuses a right, or what shows that it grants the right again."""

    direction: str
    subject: bytes
    is_granted: bool = False


class Probe(NamedTuple):
    """The question of a client whether it has the right to publish again."""

    subject: bytes


class Subscription(NamedTuple):
    """A SUB of a client."""

    subject: bytes
    sid: int


Item = Message | Ping | Subscription | Refusal | Probe


class Connected(Protocol):
    """What is connected to a server as a client."""

    is_paused: bool

    def subscribed(self, client: Client) -> None:
        """The server has processed a subscription."""

    def receive(self, message: Message, sid: int) -> None:
        """A message has arrived."""

    def accepted(self, message: Message) -> None:
        """The server has accepted a message."""

    def right_changed(self, client: Client, refusal: Refusal) -> None:
        """The server refuses a right, or grants it."""

    def lost(self, client: Client) -> None:
        """The server has closed the connection."""


class Pipe:
    """One direction of a connection or a route."""

    def __init__(self, deliver: Callable[[Item], None]) -> None:
        self.deliver = deliver
        self.waiting: deque[Item] = deque()
        self.is_stalled = False

    def move_one(self) -> None:
        self.deliver(self.waiting.popleft())


class Client:
    """A client of a server, and its connection."""

    def __init__(
        self, node: Connected, server: Server, refused: Set[tuple[str, bytes]] = frozenset()
    ) -> None:
        self.node = node
        self.server = server
        self.subscriptions: dict[bytes, int] = {}
        self._refused = refused
        self.is_open = True
        self.to_server = Pipe(self._published)
        self.to_client = Pipe(self._delivered)

    def _published(self, item: Item) -> None:
        if isinstance(item, Subscription):
            if ("subscribe", item.subject) in self._refused:
                self.to_client.waiting.append(Refusal("subscribe", item.subject))
                return
            self.subscriptions[item.subject] = item.sid
            self.node.subscribed(self)
            self.to_client.waiting.append(Refusal("subscribe", item.subject, True))
        elif isinstance(item, Probe):
            if ("publish", item.subject) not in self._refused:
                self.to_client.waiting.append(Refusal("publish", item.subject, True))
        elif isinstance(item, Ping):
            if self.is_open:
                self.to_client.waiting.append(item)
        elif isinstance(item, Message):
            if ("publish", item.subject) in self._refused:
                self.to_client.waiting.append(Refusal("publish", item.subject))
            else:
                self.node.accepted(item)
                self.server.publish(item, self)

    def refuse_subscription(self, subject: bytes) -> None:
        """End a subscription from the side of the server."""
        if self.subscriptions.pop(subject, None) is not None:
            self.to_client.waiting.append(Refusal("subscribe", subject))

    def _delivered(self, item: Item) -> None:
        if isinstance(item, Ping):
            item.answered()
        elif isinstance(item, Refusal):
            self.node.right_changed(self, item)
        elif isinstance(item, Message) and item.subject in self.subscriptions:
            self.node.receive(item, self.subscriptions[item.subject])

    def leave(self, *, cut: bool) -> None:
        """Close the connection from the side of the client.

        :param cut: whether the server gets nothing more of what was written.
        """
        self.is_open = False
        self.to_client.waiting.clear()
        self.to_server.is_stalled = False
        if cut:
            self.to_server.waiting.clear()


class Server:
    """One server of a cluster."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.is_alive = True
        self.is_frozen = False
        self.clients: list[Client] = []
        self.routes: dict[int, Route] = {}

    def publish(self, message: Message, origin: Client | None) -> None:
        """Pass on a message of a client."""
        self.deliver(message, origin)
        for route in self.routes.values():
            if not route.is_parted and route.target.is_alive:
                route.pipe.waiting.append(message)

    def deliver(self, message: Message, origin: Client | None = None) -> None:
        """Pass a message to the clients of this server."""
        for client in self.clients:
            if client is not origin and client.is_open and message.subject in client.subscriptions:
                client.to_client.waiting.append(message)

    def connect(self, node: Connected, refused: Set[tuple[str, bytes]] = frozenset()) -> Client:
        self.clients = [
            client for client in self.clients if client.is_open or client.to_server.waiting
        ]
        client = Client(node, self, refused)
        self.clients.append(client)
        return client


class Route:
    """One direction between two servers."""

    def __init__(self, source: Server, target: Server) -> None:
        self.source = source
        self.target = target
        self.is_parted = False
        self.pipe = Pipe(self._arrive)

    def _arrive(self, item: Item) -> None:
        assert isinstance(item, Message)
        self.target.deliver(item)


class Network:
    """All servers, and the pipes between them and the clients."""

    def __init__(self, servers: int) -> None:
        self.servers = [Server(name) for name in range(servers)]
        for source in self.servers:
            for target in self.servers:
                if source is not target:
                    source.routes[target.name] = Route(source, target)

    @property
    def alive(self) -> list[Server]:
        return [server for server in self.servers if server.is_alive]

    def routes(self) -> list[Route]:
        return [route for server in self.servers for route in server.routes.values()]

    def movable(self) -> list[Pipe]:
        """Return the pipes of which the next item may arrive."""
        found = []
        for server in self.servers:
            is_running = server.is_alive and not server.is_frozen
            for client in server.clients if is_running else ():
                pipe = client.to_server
                if pipe.waiting and not pipe.is_stalled:
                    found.append(pipe)
                pipe = client.to_client
                if pipe.waiting and not pipe.is_stalled and not client.node.is_paused:
                    found.append(pipe)
            for route in server.routes.values():
                # What a server had sent before it froze arrives nevertheless.
                pipe = route.pipe
                if pipe.waiting and not pipe.is_stalled and not route.target.is_frozen:
                    found.append(pipe)
        return found

    def flow(self, chance: random.Random, most: int) -> int:
        """Let up to this many items arrive, one by one from random pipes; return how many did."""
        for moved in range(most):
            pipes = self.movable()
            if not pipes:
                return moved
            pipes[int(chance.random() * len(pipes))].move_one()
        return most

    def drain(self, chance: random.Random) -> int:
        """Let everything arrive that is not held up, pipe by pipe; return how many items did."""
        moved = 0
        while pipes := self.movable():
            if len(pipes) > 1:
                pipes.sort(key=lambda _: chance.random())
            for pipe in pipes:
                for _ in range(len(pipe.waiting)):
                    # An arrival may cut the pipe.
                    if pipe.waiting:
                        pipe.move_one()
                        moved += 1
        return moved

    def part(self, first: Server, second: Server, is_parted: bool) -> None:
        """Part or mend the route between two servers, in both directions."""
        for route in (first.routes[second.name], second.routes[first.name]):
            route.is_parted = is_parted
            if is_parted:
                route.pipe.waiting.clear()

    def kill(self, server: Server) -> None:
        """Kill a server: it loses what it has received and not passed on."""
        server.is_alive = server.is_frozen = False
        for route in self.routes():
            if server in (route.source, route.target):
                route.pipe.waiting.clear()
        clients, server.clients = server.clients, []
        for client in clients:
            if client.is_open:
                client.leave(cut=True)
                client.node.lost(client)
            client.to_server.waiting.clear()

    def heal(self) -> None:
        """End every fault."""
        for server in self.servers:
            server.is_alive = True
            server.is_frozen = False
            for client in server.clients:
                client.to_server.is_stalled = client.to_client.is_stalled = False
        for route in self.routes():
            route.is_parted = route.pipe.is_stalled = False
