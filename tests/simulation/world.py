"""Schedules: lists of faults and other actions, and the world in which they happen."""

from __future__ import annotations

import asyncio.events
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fastcoord import StateChange, encode_batch
from fastcoord._clock import set_clock
from fastcoord.nats.frames import compose
from fastcoord.wire.sealed_batch import SealedBatch
from simulation.checks import FORGED_SERIAL, Observer
from simulation.clock import Clock
from simulation.network import Client, Message, Network, Server
from simulation.node import HEARTBEAT, PROTOCOL, SimulatedNode
from simulation.surroundings import Surroundings

PROTOCOL_LETTER = 3
MAX_NODES = 12


class Action(NamedTuple):
    """One step of a schedule. The numbers select nodes and servers."""

    name: str
    first: int = 0
    second: int = 0


class World(Surroundings):
    """Nodes and servers that run a schedule.

    :param seed: decides what the actions leave open, such as the order of arrivals.
    :param tracks_accepted: whether to compare what is confirmed with what a server has accepted.
    """

    def __init__(
        self, seed: int, *, servers: int, nodes: int, tracks_accepted: bool = False
    ) -> None:
        super().__init__()
        self.tracks_accepted = tracks_accepted
        self.clock = Clock()
        asyncio.events._set_running_loop(self.clock)  # type: ignore[arg-type]
        set_clock(self.clock, self.clock.time)  # type: ignore[arg-type]
        self.chance = random.Random(seed)
        self.network = Network(servers)
        self.runs: dict[int, SimulatedNode] = {}
        self.alive: list[SimulatedNode] = []
        self.observers: dict[int, Observer] = {}
        self.overlapped: set[int] = set()
        self.messages = 0
        for node_id in range(1, nodes + 1):
            self.start(node_id)
        self.pass_time(0.5 * HEARTBEAT)

    # --------------------------------------------------------------------------------- time

    def drain(self) -> None:
        """Let everything arrive that is not held up."""
        while moved := self.network.drain(self.chance):
            self.messages += moved
            self.clock.run_ready()

    def pass_time(self, seconds: float) -> None:
        """Let time pass; every byte that is not held up arrives."""
        end = self.clock.now + seconds
        while True:
            self.drain()
            ticking = [node for node in self.alive if not node.is_paused]
            next_tick = min((node.next_tick for node in ticking), default=end)
            if next_tick >= end:
                break
            self.clock.advance(max(0.0, next_tick - self.clock.now))
            for node in ticking:
                if node.next_tick <= self.clock.now:
                    node.tick()
            self.clock.run_ready()
        self.clock.advance(max(0.0, end - self.clock.now))
        self.drain()

    def check(self) -> None:
        for node in self.alive:
            self.observers[node.serial].check()
            self.observers[node.serial].check_confirmed()

    # -------------------------------------------------------------------------------- nodes

    def start(self, node_id: int) -> SimulatedNode:
        serial = len(self.runs) + 1
        if any(node.node_id == node_id for node in self.alive):
            self.overlapped.add(node_id)
        node = SimulatedNode(
            self.clock,
            self.chance,
            node_id=node_id,
            serial=serial,
            servers=lambda: self.network.alive,
        )
        node.tracks_accepted = self.tracks_accepted
        self.runs[serial] = node
        self.alive.append(node)
        observer = self.observers[serial] = Observer(node, self.runs, self.overlapped)
        observer.is_lenient = any(each.is_lenient for each in self.observers.values())
        self.clock.run_ready()
        return node

    def stop(self, node: SimulatedNode, *, goodbye: bool) -> None:
        node.end(goodbye=goodbye)
        self.alive.remove(node)

    # ------------------------------------------------------------------------------ actions

    def run(self, action: Action) -> None:
        """Run one action, and check every node."""
        node = self.alive[action.first % len(self.alive)] if self.alive else None
        server = self.network.servers[action.first % len(self.network.servers)]
        act: Callable[..., None] = getattr(self, f"do_{action.name}")
        act(action, node, server)
        self.clock.run_ready()
        self.check()

    def do_wait(self, action: Action, node: Any, server: Server) -> None:
        self.pass_time((0.05, 0.3, 0.6, 1.0, 2.1, 3.6, 8.0)[action.second % 7] * HEARTBEAT)

    def do_arrive(self, action: Action, node: Any, server: Server) -> None:
        self.messages += self.network.flow(self.chance, 1 + action.second % 8)

    def do_publish(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None and not node.is_paused:
            node.publish(1 + action.second % 4)

    def do_move(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None and not node.is_paused:
            node.leave(cut=False)
            node.connect(self.network.servers[action.second % len(self.network.servers)])

    def do_cut(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            node.leave(cut=True)

    def do_stall(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        client = self._client(node)
        if client is not None:
            (client.to_server if action.second % 2 else client.to_client).is_stalled = True

    def do_resume(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        for each in self.network.servers:
            for client in each.clients:
                if node is None or client.node is node:
                    client.to_server.is_stalled = client.to_client.is_stalled = False

    def do_part(self, action: Action, node: Any, server: Server) -> None:
        self._part(action, server, True)

    def do_mend(self, action: Action, node: Any, server: Server) -> None:
        self._part(action, server, False)

    def _part(self, action: Action, server: Server, is_parted: bool) -> None:
        other = self.network.servers[action.second % len(self.network.servers)]
        if other is not server:
            self.network.part(server, other, is_parted)

    def do_slow(self, action: Action, node: Any, server: Server) -> None:
        self._slow(action, server, True)

    def do_quick(self, action: Action, node: Any, server: Server) -> None:
        self._slow(action, server, False)

    def _slow(self, action: Action, server: Server, is_stalled: bool) -> None:
        other = self.network.servers[action.second % len(self.network.servers)]
        if other is not server:
            server.routes[other.name].pipe.is_stalled = is_stalled

    def do_freeze(self, action: Action, node: Any, server: Server) -> None:
        server.is_frozen = server.is_alive

    def do_thaw(self, action: Action, node: Any, server: Server) -> None:
        for each in self.network.servers:
            each.is_frozen = False

    def do_kill_server(self, action: Action, node: Any, server: Server) -> None:
        if server.is_alive:
            self.network.kill(server)

    def do_start_server(self, action: Action, node: Any, server: Server) -> None:
        for each in self.network.servers:
            each.is_alive = True

    def do_pause(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            node.is_paused = True

    def do_continue(self, action: Action, node: Any, server: Server) -> None:
        for each in self.alive:
            each.is_paused = False

    def do_kill(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            self.stop(node, goodbye=False)

    def do_close(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            self.stop(node, goodbye=True)

    def do_restart(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            self.stop(node, goodbye=action.second % 2 == 0)
            self.start(node.node_id)

    def do_join(self, action: Action, node: Any, server: Server) -> None:
        if len(self.alive) < MAX_NODES:
            used = {each.node_id for each in self.alive}
            self.start(next(number for number in range(1, 100) if number not in used))

    def do_duplicate(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None and len(self.alive) < MAX_NODES:
            self.start(node.node_id)

    def do_fail(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        if node is not None:
            node.fails = 1

    def do_forge(self, action: Action, node: SimulatedNode | None, server: Server) -> None:
        """Publish a message with the id of another node."""
        if node is None or not server.is_alive:
            return
        for observer in self.observers.values():
            observer.is_lenient = True
        kind = action.second
        count = kind % 2
        incarnation = node.incarnation if kind // 2 % 3 else self.chance.getrandbits(42)
        offset = (0, node.published, node.published + 5, 1 << 40)[kind // 6 % 4]
        connection = (0, node.sender.empty_batches.number, 9)[kind // 24 % 3]
        events = [StateChange(account_id=FORGED_SERIAL, change_id=0, types=0)] * count
        payload = encode_batch(events, node_id=node.node_id, protocol=PROTOCOL)
        config = node.config.cluster
        subject = (config.subject if count else config.presence_subject).encode()
        note = (None, "resend", "hello", "goodbye")[kind // 72 % 4]
        frame = compose(
            subject,
            PROTOCOL_LETTER,
            incarnation,
            0,
            [SealedBatch(payload, offset, count)],
            connection=connection,
            note=note if count == 0 or note in (None, "resend") else None,
        )
        line, _, rest = frame.partition(b"\r\n")
        header_size = int(line.split()[2])
        server.publish(Message(subject, b"", header_size, rest[:-2]), None)

    def _client(self, node: SimulatedNode | None) -> Client | None:
        return None if node is None or node.connection is None else node.connection.client

    # ---------------------------------------------------------------------------------- end

    def end(self) -> None:
        """End every fault, and check that everything was received or reported."""
        self.network.heal()
        self.heal_surroundings()
        for node in self.alive:
            node.is_paused = False
            node.fails = 0
        for _ in range(10):
            self.pass_time(HEARTBEAT)
            self.use_children()
            self.check()
        for node in self.alive:
            node.publish(1)
        for peer in self.stalwart:
            peer.publish()
        self.clock.run_ready()
        for _ in range(4):
            self.pass_time(HEARTBEAT)
            self.check()
        for node in self.alive:
            observer = self.observers[node.serial]
            observer.check_end(self.alive)
            self.check_stalwart(observer.last, observer.name)

    def close(self) -> None:
        asyncio.events._set_running_loop(None)


WEIGHTS = {
    "wait": 14,
    "arrive": 14,
    "publish": 24,
    "move": 5,
    "cut": 2,
    "stall": 4,
    "resume": 4,
    "part": 3,
    "mend": 4,
    "slow": 5,
    "quick": 5,
    "freeze": 3,
    "thaw": 3,
    "kill_server": 1,
    "start_server": 2,
    "pause": 2,
    "continue": 3,
    "kill": 2,
    "close": 2,
    "restart": 3,
    "join": 2,
}
SURROUNDINGS = {
    "jump": 3,
    "stop_clock": 2,
    "run_clocks": 3,
    "refuse": 3,
    "grant": 4,
    "fork": 2,
    "stalwart": 6,
}
RARE = {"duplicate": 1, "fail": 1, "forge": 3}


RACES = {
    "wait": 3,
    "arrive": 40,
    "publish": 16,
    "move": 10,
    "slow": 8,
    "quick": 4,
    "freeze": 3,
    "thaw": 4,
    "restart": 10,
    "forge": 1,
}
"""Few nodes that move and restart while messages are under way."""


class Schedule(NamedTuple):
    """A schedule of actions.

    :ivar seed: of the world.
    """

    seed: int
    servers: int
    nodes: int
    actions: Sequence[Action]


def random_schedule(seed: int, steps: int = 40) -> Schedule:
    """Make a schedule from a seed.

    One in four has forged messages, duplicate ids and failures, one in four has races, and one in
    four has clocks that jump and stop, refused rights, forks and Stalwart nodes.
    """
    chance = random.Random(f"schedule {seed}")
    if seed % 4 == 1:
        weights, steps = RACES, 2 * steps
    elif seed % 4 == 2:
        weights = {**WEIGHTS, **SURROUNDINGS}
    else:
        weights = {**WEIGHTS, **RARE} if seed % 4 == 0 else WEIGHTS
    names = chance.choices(list(weights), list(weights.values()), k=steps)
    actions = [Action(name, chance.getrandbits(8), chance.getrandbits(9)) for name in names]
    return Schedule(seed, chance.choice((1, 2, 2, 3, 3, 4)), chance.randint(2, 4), actions)


def play(schedule: Schedule) -> int:
    """Run a schedule.

    :return: how many messages arrived anywhere.
    :raises ViolationError: a rule was broken.
    """
    world = World(
        schedule.seed,
        servers=schedule.servers,
        nodes=schedule.nodes,
        tracks_accepted=any(action.name == "refuse" for action in schedule.actions),
    )
    try:
        for action in schedule.actions:
            world.run(action)
        world.end()
    finally:
        world.close()
    return world.messages


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Remove actions as long as the schedule still fails."""
    actions = list(schedule.actions)
    size = len(actions) // 2
    while size:
        start = 0
        while start < len(actions):
            fewer = actions[:start] + actions[start + size :]
            if fails(schedule._replace(actions=fewer)):
                actions = fewer
            else:
                start += size
        size //= 2
    return schedule._replace(actions=actions)


def first_violation(schedules: Iterable[Schedule]) -> tuple[Schedule, str] | None:
    """Return the first schedule that breaks a rule, and how."""
    for schedule in schedules:
        try:
            play(schedule)
        except AssertionError as violation:
            return schedule, str(violation)
    return None
