"""The server of a bus in memory: what nats-server does for the nodes of fastcoord.

It does no I/O and reads no clock. Each client has functions that send bytes and end its connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fastcoord.testing.commands import (
    Command,
    CommandParser,
    Connect,
    Ping,
    ProtocolViolation,
    Publish,
    Subscribe,
    Unsubscribe,
)
from fastcoord.testing.faults import Faults, matches
from fastcoord.testing.message import Message

__all__ = ["MAX_PAYLOAD", "MemoryServer", "ServerClient"]

MAX_PAYLOAD = 1 << 20
"""The limit of one message in bytes, the default of nats-server."""

NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"


@dataclass
class Subscription:
    """A subscription of one client.

    :ivar remaining: how many more messages it receives; ``None`` for no limit.
    """

    subject: str
    sid: str
    remaining: int | None = None
    is_refused: bool = False


@dataclass(eq=False)
class ServerClient:
    """The server's end of one connection.

    :ivar node_id: the node that has connected.
    :ivar send: sends bytes to the client.
    :ivar end: ends the connection after the bytes sent so far.
    """

    node_id: int
    faults: Faults
    send: Callable[[bytes], None]
    end: Callable[[], None]
    is_authenticated: bool = False
    has_echo: bool = True
    has_no_responders: bool = False
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    parser: CommandParser = field(default_factory=CommandParser)

    def error(self, text: str) -> None:
        """Send ``-ERR``."""
        self.send(f"-ERR '{text}'\r\n".encode())


class MemoryServer:
    """A cluster of servers, each with one node, so that routes between two nodes can be parted.

    :param name: the name in INFO.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.clients: dict[ServerClient, None] = {}
        self.parted: set[frozenset[int]] = set()
        """The pairs of nodes whose servers have no route to each other."""

    def accept(self, client: ServerClient) -> None:
        """Greet a new client."""
        self.clients[client] = None
        info = {
            "server_id": self._name.upper(),
            "server_name": self._name,
            "version": "2.12.0",
            "proto": 1,
            "headers": True,
            "max_payload": MAX_PAYLOAD,
            "auth_required": client.faults.is_unauthorized,
            "client_id": len(self.clients),
            # With this name, a node waits until the other servers know its subscriptions.
            "cluster": self._name,
        }
        client.send(f"INFO {json.dumps(info)}\r\n".encode())

    def receive(self, client: ServerClient, data: bytes) -> None:
        """Process bytes of a client."""
        try:
            for command in client.parser.feed(data):
                if client not in self.clients:
                    return
                self._process(client, command)
        except ProtocolViolation as violation:
            client.error(str(violation))
            self.drop(client)

    def gone(self, client: ServerClient) -> None:
        """Forget a client whose connection has ended."""
        self.clients.pop(client, None)

    def drop(self, client: ServerClient) -> None:
        """End the connection of a client."""
        self.gone(client)
        client.end()

    def review_rights(self, node_id: int) -> None:
        """End the subscriptions of a node that its rights do not allow any more."""
        for client in self._clients_of(node_id):
            for subscription in client.subscriptions.values():
                is_refused = not client.faults.may_subscribe(subscription.subject)
                if is_refused and not subscription.is_refused:
                    self._refuse_subscription(client, subscription.subject)
                subscription.is_refused |= is_refused

    def _clients_of(self, node_id: int) -> list[ServerClient]:
        return [client for client in self.clients if client.node_id == node_id]

    def _process(self, client: ServerClient, command: Command) -> None:
        if isinstance(command, Connect):
            self._connect(client, command)
        elif not client.is_authenticated:
            client.error("Authorization Violation")
            self.drop(client)
        elif isinstance(command, Ping):
            client.send(b"PONG\r\n")
        elif isinstance(command, Publish):
            self._publish(client, command)
        elif isinstance(command, Subscribe):
            self._subscribe(client, command)
        elif isinstance(command, Unsubscribe):
            self._unsubscribe(client, command)

    def _connect(self, client: ServerClient, command: Connect) -> None:
        if client.faults.is_unauthorized:
            client.error("Authorization Violation")
            self.drop(client)
            return
        client.is_authenticated = True
        client.has_echo = command.options.get("echo", True)
        client.has_no_responders = command.options.get("no_responders", False)

    def _refuse_subscription(self, client: ServerClient, subject: str) -> None:
        client.error(f'Permissions Violation for Subscription to "{subject}"')

    def _subscribe(self, client: ServerClient, command: Subscribe) -> None:
        if not client.faults.may_subscribe(command.subject):
            self._refuse_subscription(client, command.subject)
            return
        client.subscriptions[command.sid] = Subscription(command.subject, command.sid)

    def _unsubscribe(self, client: ServerClient, command: Unsubscribe) -> None:
        subscription = client.subscriptions.get(command.sid)
        if subscription is not None and command.after:
            subscription.remaining = command.after
        else:
            client.subscriptions.pop(command.sid, None)

    def _publish(self, client: ServerClient, command: Publish) -> None:
        if len(command.payload) + len(command.headers or b"") > MAX_PAYLOAD:
            client.error("Maximum Payload Violation")
            self.drop(client)
            return
        if not client.faults.may_publish(command.subject):
            client.error(f'Permissions Violation for Publish to "{command.subject}"')
            return
        if self._is_lost(client, command):
            return
        receivers = list(self._receivers(client, command.subject))
        for receiver, subscription in receivers:
            self._deliver(client, receiver, subscription, command)
        if not receivers and command.reply and client.has_no_responders:
            for subscription in list(client.subscriptions.values()):
                if matches(subscription.subject, command.reply) and not subscription.is_refused:
                    self._send(client, subscription, command.reply, "", NO_RESPONDERS, b"")

    def _is_lost(self, client: ServerClient, command: Publish) -> bool:
        if not client.faults.lost_to_server:
            return False
        message = Message(
            command.subject, client.node_id, None, command.headers or b"", command.payload
        )
        return any(loss.takes(message) for loss in client.faults.lost_to_server)

    def _receivers(
        self, sender: ServerClient, subject: str
    ) -> Iterator[tuple[ServerClient, Subscription]]:
        for client in self.clients:
            if client is sender and not sender.has_echo:
                continue
            if frozenset((client.node_id, sender.node_id)) in self.parted:
                continue
            for subscription in client.subscriptions.values():
                if not subscription.is_refused and matches(subscription.subject, subject):
                    yield client, subscription

    def _deliver(
        self,
        sender: ServerClient,
        receiver: ServerClient,
        subscription: Subscription,
        command: Publish,
    ) -> None:
        headers = command.headers or b""
        if receiver.faults.lost_to_node:
            message = Message(
                command.subject, sender.node_id, receiver.node_id, headers, command.payload
            )
            if any(loss.takes(message) for loss in receiver.faults.lost_to_node):
                return
        self._send(receiver, subscription, command.subject, command.reply, headers, command.payload)

    def _send(
        self,
        client: ServerClient,
        subscription: Subscription,
        subject: str,
        reply: str,
        headers: bytes,
        payload: bytes,
    ) -> None:
        words = [subject, subscription.sid, *([reply] if reply else [])]
        sizes = f"{len(headers)} {len(headers) + len(payload)}" if headers else str(len(payload))
        line = f"{'HMSG' if headers else 'MSG'} {' '.join(words)} {sizes}\r\n".encode()
        client.send(line + headers + payload + b"\r\n")
        if subscription.remaining is not None:
            subscription.remaining -= 1
            if subscription.remaining <= 0:
                client.subscriptions.pop(subscription.sid, None)
