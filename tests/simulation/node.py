"""A node of the simulation: the real sender, presence, receiver and rules, without sockets.

``SimulatedNode`` does what ``Session``, ``Supervisor`` and ``Liveness`` do, as far as events are
concerned: it connects, ticks twice a heartbeat, and leaves a connection without PONGs.
"""

from __future__ import annotations

import asyncio.events
import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastcoord import Missed, StateChange, decode_batch, parse_config
from fastcoord._clock import set_clock
from fastcoord.nats.message_writer import MessageWriter
from fastcoord.nats.parser import Parser
from fastcoord.nats.rights import Right
from fastcoord.presence.presence import PRESENCE_SID, REPLY_SID, Presence
from fastcoord.publishing.hold import Hold
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.sender import Sender
from fastcoord.receiving.cursor import Cursor
from fastcoord.receiving.notices import fold, overflow_notices
from fastcoord.receiving.receiver import Receiver
from fastcoord.receiving.ring import Ring
from fastcoord.receiving.rules import Rules
from simulation.clock import NodeClock
from simulation.network import Client, Message, Ping, Probe, Refusal, Subscription

if TYPE_CHECKING:
    from simulation.clock import Clock
    from simulation.network import Server

HEARTBEAT = 2.0
EVENTS_SID = 1
SUBJECT = b"fastcoord.agora"
PROTOCOL = "fastcoord-1"
CONFIGURATION = f"""
[cluster]
coordinator = "nats"
node-id = NODE
heartbeat = "{HEARTBEAT:g}s"
protocol = "{PROTOCOL}"
[store."nats"]
type = "nats"
address = "127.0.0.1:4222"
"""
HPUB = re.compile(rb"HPUB (\S+) (?:(\S+) )?([0-9]+) ([0-9]+)\r\n|PING\r\n")


class SimulatedConnection(MessageWriter):
    """What the sender and presence use of a connection."""

    is_writable = True
    is_clustered = True
    delivers_traced = False
    max_payload = 1 << 20

    def __init__(self, config: Any, client: Client, clock: Clock) -> None:
        super().__init__(config, self)  # type: ignore[arg-type]
        self.client = client
        self._clock = clock
        self.last_activity = clock.now
        self.pinged_at: list[float] = []

    def subscribe(self, subject: str, sid: int) -> None:
        self.client.to_server.waiting.append(Subscription(subject.encode(), sid))

    def send(self, data: bytes, answered: Callable[[], None] | None = None) -> None:
        """Write frames into the pipe to the server, one item for each."""
        waiting = self.client.to_server.waiting
        position = 0
        while position < len(data):
            line = HPUB.match(data, position)
            assert line is not None, data[position : position + 80]
            position = line.end()
            if line[1] is not None:
                header_size, size = int(line[3]), int(line[4])
                body = data[position : position + size]
                waiting.append(Message(line[1], line[2] or b"", header_size, body))
                position += size + 2
        if answered is not None:
            self.ping(answered)

    def ping(self, answered: Callable[[], None]) -> None:
        self.pinged_at.append(self._clock.now)
        self.client.to_server.waiting.append(Ping(lambda: self._pong(answered)))

    def _pong(self, answered: Callable[[], None]) -> None:
        if self.client.is_open:
            self.pinged_at.pop(0)
            self.last_activity = self._clock.now
            answered()

    @property
    def oldest_ping(self) -> float | None:
        """When the oldest PING without an answer was sent."""
        return self.pinged_at[0] if self.pinged_at else None

    def has_refused(self, subject: str) -> bool:
        return False

    def has_refused_below(self, prefix: str) -> bool:
        return False

    def abort(self, reason: str) -> None:
        raise AssertionError(reason)


class SimulatedNode:
    """One run of one node.

    :ivar serial: the number of the run; its events carry it.
    :ivar losses: each reported ``Missed`` with the run and the expected offset that it belongs to.
    """

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        *,
        node_id: int,
        serial: int,
        servers: Callable[[], list[Server]],
    ) -> None:
        self._clock = clock
        self.clock = NodeClock(clock)
        self._chance = chance
        self._servers = servers
        self.refused_rights: set[tuple[str, bytes]] = set()
        self._refused: set[str] = set()
        self.is_away = False
        self.tracks_accepted = False
        self.was_refused = False
        self.accepted_numbers: set[int] = set()
        self.node_id = node_id
        self.serial = serial
        self.incarnation = chance.getrandbits(42) | 1
        self.is_alive = True
        self.is_paused = False
        self.started_at = clock.now
        self.settled_at = clock.now + 2 * HEARTBEAT
        self.returns = 0
        self.published = 0
        self.fails = 0
        self._may_fail = False
        self.losses: list[tuple[Missed, int | None, int]] = []
        config = config_of(node_id)
        self.config = config
        # What the node is made of takes the time from the running event loop.
        set_clock(self.clock, self.clock.time)  # type: ignore[arg-type]
        asyncio.events._set_running_loop(self.clock)  # type: ignore[arg-type]
        self.rules = Rules(heartbeat=HEARTBEAT, started_at=clock.now, watcher=self)
        self.receiver = Receiver(
            node_id=node_id,
            incarnation=self.incarnation,
            protocol=PROTOCOL,
            deliver_own=False,
            rules=self.rules,
            on_request=self._ignore,
            on_question=self._on_question,
        )
        self.receiver.events_sid = EVENTS_SID
        self.receiver.presence_sid = PRESENCE_SID
        self.receiver.reply_sid = REPLY_SID
        self.receiver.now = clock.now
        self.rules.attach(self.receiver)
        self.ring = Ring(1 << 16, 1 << 30, fold=fold)
        self.receiver.add_ring(self.ring)
        self.cursor = Cursor(
            self.ring,
            protocol=PROTOCOL,
            kinds=None,
            as_notices=overflow_notices,
            get_loop=self._ignore,
        )
        self._parser = Parser(self.receiver, self._ignore, read_size=1 << 16)
        self.sender = Sender(
            config,
            node_id=node_id,
            protocol=PROTOCOL,
            incarnation=self.incarnation,
            state=NodeState(),
        )
        self.presence = Presence(
            config,
            incarnation=self.incarnation,
            sender=self.sender,
            receiver=self.receiver,
            rules=self.rules,
            received_by=self.rules.received_by,
            without_presence=self._ignore,
        )
        self.presence._answers._chance = chance
        self._hold = Hold(HEARTBEAT, self.peers_are_back)
        asyncio.events._set_running_loop(clock)  # type: ignore[arg-type]
        self.connection: SimulatedConnection | None = None
        self.has_joined = False
        self.next_tick = clock.now + chance.random() * HEARTBEAT / 2
        self.connect()

    def _ignore(self, *arguments: Any) -> Any:
        return None

    # ---------------------------------------------------------------------- the rules' watcher

    def missed(self, missed: Missed) -> None:
        if self.fails and self._may_fail:
            self.fails = 0
            raise MemoryError("simulated")
        peer = None if missed.node_id is None else self.receiver.peers.get(missed.node_id)
        run = (None, 0) if peer is None else (peer.incarnation, peer.expected)
        self.losses.append((missed, *run))

    def protocol_mismatch(self, node_id: int, protocol: str) -> None:
        raise AssertionError("no node uses another protocol")

    def protocol_mismatch_ended(self, node_id: int) -> None:
        raise AssertionError("no node uses another protocol")

    def duplicate_node_id(self, node_id: int) -> None:
        """Checked by the notice."""

    def stalwart_received(self, now: float) -> None:
        """Not simulated."""

    def verify(self, node_id: int) -> bool:
        return self.presence.verify(node_id)

    def peers_are_back(self) -> None:
        self._hold.cancel()
        self.rules.awaited.clear()
        self.sender.release()

    def _on_question(self, *question: Any) -> None:
        self.presence.take(*question)

    # -------------------------------------------------------------------------- connections

    def connect(self, server: Server | None = None) -> None:
        """Connect to a server, if one can be reached."""
        reachable = [each for each in self._servers() if not each.is_frozen]
        if self.connection is not None or not reachable:
            return
        if server is None or server not in reachable:
            server = self._chance.choice(reachable)
        client = server.connect(self, self.refused_rights)
        connection = self.connection = SimulatedConnection(self.config, client, self._clock)
        connection.subscribe(self.config.cluster.subject, EVENTS_SID)
        self.presence.subscribe(connection)  # type: ignore[arg-type]
        now = self.clock.now
        self.receiver.now = now
        self._returned(now)
        if not self.has_joined:
            self.rules.settle_from(now)
        self.sender.connected(
            connection,  # type: ignore[arg-type]
            repeat=HEARTBEAT,
            hold=bool(self.rules.awaited) and self._hold.begin(self.sender.seconds_to_expiry()),
            greet=self.presence.connected,
        )
        self.has_joined = self.sender.has_joined = True

    def subscribed(self, client: Client) -> None:
        """Note that the server has processed a subscription."""
        if self.connection is not None and self.connection.client is client:
            self.settled_at = self._clock.now + 2 * HEARTBEAT
            if self.clock.is_stopped:
                self.settled_at = float("inf")

    def lost(self, client: Client) -> None:
        """Note that the server has closed the connection."""
        connection = self.connection
        if connection is not None and connection.client is client:
            self.connection = None
            self._away()
            self._hold.cancel()
            self.presence.disconnected()
            self.sender.disconnected()

    def _away(self) -> None:
        if not self.is_away:
            self.is_away = True
            self.returns += 1
        self.rules.disconnected()

    def _returned(self, now: float) -> None:
        self.is_away = False
        self.rules.connected(now)

    def right_changed(self, client: Client, refusal: Refusal) -> None:
        """Do what a session does when the server refuses a right, or grants it again."""
        if self.connection is None or self.connection.client is not client:
            return
        direction, subject, is_granted = refusal
        if subject != SUBJECT:
            return
        if is_granted:
            if direction not in self._refused:
                return
            self._refused.discard(direction)
            if direction == "publish":
                self.sender.permitted()
            else:
                self.receiver.now = self.clock.now
                self._returned(self.clock.now)
            self.presence.connected()
        elif direction == "publish":
            self._refused.add(direction)
            self.was_refused = True
            self.sender.refused(Right("publish", SUBJECT.decode()).denied())
        else:
            self._refused.add(direction)
            self._away()

    def _ask_for_rights(self, connection: SimulatedConnection) -> None:
        if "publish" in self._refused:
            connection.client.to_server.waiting.append(Probe(SUBJECT))
        if "subscribe" in self._refused:
            connection.subscribe(self.config.cluster.subject, EVENTS_SID)

    def accepted(self, message: Message) -> None:
        """Note which events a server has accepted."""
        if self.tracks_accepted and message.subject == SUBJECT:
            events = decode_batch(message.body[message.header_size :], protocol=PROTOCOL)
            self.accepted_numbers.update(
                event.change_id for event in events if isinstance(event, StateChange)
            )

    def run_clock(self) -> None:
        """Let a stopped clock run again."""
        if self.clock.run():
            self.settled_at = self._clock.now + 2 * HEARTBEAT

    def leave(self, *, cut: bool) -> None:
        """Leave the connection."""
        if self.connection is not None:
            client = self.connection.client
            client.leave(cut=cut)
            self.lost(client)

    def receive(self, message: Message, sid: int) -> None:
        """Receive a message from the server."""
        self.receiver.now = self.clock.now
        words = [b"HMSG" if message.header_size else b"MSG", message.subject, b"%d" % sid]
        words += [message.reply] if message.reply else []
        words += [b"%d" % message.header_size] if message.header_size else []
        words += [b"%d" % len(message.body)]
        frame = b" ".join(words) + b"\r\n" + message.body + b"\r\n"
        self._may_fail = True
        try:
            self._parser.feed_bytes(frame)
        except MemoryError as error:
            if error.args != ("simulated",):
                raise
        finally:
            self._may_fail = False

    # ------------------------------------------------------------------------------- time

    def tick(self) -> None:
        """Do what is due twice a heartbeat."""
        now = self._clock.now
        self.next_tick = now + HEARTBEAT / 2
        now = self.clock.now
        self.receiver.now = now
        connection = self.connection
        if connection is None:
            self.connect()
            return
        self.presence.tick(now)
        if connection.pinged_at and self._clock.now - connection.pinged_at[0] >= 2 * HEARTBEAT:
            self.leave(cut=False)
            return
        self._ask_for_rights(connection)
        self.sender.check_alive()
        self._hold.check(now)
        self.sender.repair()
        self._may_fail = True
        try:
            self.rules.tick(now)
        except MemoryError as error:
            if error.args != ("simulated",):
                raise
            # A node logs this, and its rings report a loss of unknown size.
            self.ring.put_notice(Missed(None, None, "overflow"))
        finally:
            self._may_fail = False

    def publish(self, count: int) -> None:
        """Publish the next events."""
        for _ in range(count):
            self.sender.batcher.add_always(
                [StateChange(account_id=self.serial, change_id=self.published, types=0)]
            )
            self.published += 1

    def end(self, *, goodbye: bool) -> None:
        """End this run; with a goodbye if it is connected."""
        if goodbye and self.connection is not None and not self.is_paused:
            self.sender.release()
            self.sender.repair()
            self.sender.beat("goodbye")
        self.is_alive = False
        if self.connection is not None:
            self.connection.client.leave(cut=False)
            self.connection = None
        self._hold.cancel()


_configs: dict[int, Any] = {}


def config_of(node_id: int) -> Any:
    """Return the configuration of a node."""
    if node_id not in _configs:
        _configs[node_id] = parse_config(CONFIGURATION.replace("NODE", str(node_id)))
    return _configs[node_id]
