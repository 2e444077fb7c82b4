"""A random schedule of reads, loads, writes, losses and absences around one cache, and its judge.

The world has one database, some writers and one node with a cache. A writer commits a version of a
key and publishes the event later. The event reaches the ring of the node, or is lost, and a loss is
reported by a ``Missed`` in the ring. While the node is off the bus, all events are lost, and it
finds out later.

The judge knows every fact. When a read returns a value, it demands:

1. No event in the ring, taken or not, names a newer version of the key, and no reported loss
   contains one. A read may return such a value only after ``LOADS_PER_READ`` loads, and only if the
   database had this version while the read ran.
2. If the ring says that the node is off the bus, or the node has not caught up with its stream, the
   value is younger than the limit, or its load ran while the read ran.
3. One load of a key runs at a time, unless an invalidation of the key arrived since it began.
4. A read fails only if its load has failed.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterable, Iterator

import cachetools

from coherence.facts import Fact, LoadFailed, OpenRead, Unjust, Value
from fastcoord.cache.coherence import LOADS_PER_READ, Coherence
from fastcoord.cache.loads import Load, Read
from fastcoord.events import Disconnected, Event, Missed, Notice, Reconnected, StateChange

STALE_LIMITS = (0.0, 0.0, 2.0)
RING_CAPACITY = 6


class World:
    """One schedule.

    :param seed: selects the schedule.
    :param make_cache: creates the cache, with the arguments of ``Coherence``.
    """

    def __init__(self, seed: int, make_cache: Callable[..., Coherence[int, Value]]) -> None:
        self.random = random.Random(seed)
        self.make_cache = make_cache
        self.now = 0.0
        self.step = 0
        self.keys = self.random.randint(1, 4)
        self.stale_limit = self.random.choice(STALE_LIMITS)
        self.size = self.random.choice((1, 2, 10))
        self.version = 0
        self.committed: dict[int, list[tuple[int, int]]] = {k: [(0, 0)] for k in range(self.keys)}
        """The versions of each key, each with the step at which it was committed."""
        self.facts: list[Fact] = []
        self.unpublished: list[collections.deque[Fact]] = [collections.deque() for _ in range(3)]
        self.untold: list[list[Fact]] = [[] for _ in range(3)]
        """The lost events of each writer that no ``Missed`` has reported."""
        self.absent: collections.deque[Fact] = collections.deque()
        """The events that were published while the node was off the bus."""
        self.ring: collections.deque[tuple[Event | Notice, Fact | None]] = collections.deque()
        self.is_cut = False
        self.says_cut = False
        self.is_stream = self.random.random() < 0.3
        """Whether the node receives from a stream, which keeps what is published in an absence."""
        self.must_confirm = False
        """Whether the node is back, and its server has yet to process the subscription."""
        self.reads: list[OpenRead] = []
        self.running: dict[Load[int, Value], Value | None] = {}
        self.trace: list[str] = []
        self.hits = 0
        self.start()

    def start(self) -> None:
        """Start the node, or start it again after its process has ended."""
        self.ring.clear()
        self.reads.clear()
        self.running.clear()
        self.is_cut = self.says_cut = self.must_confirm = False
        for fact in self.facts:
            # A new process has no entries, so that it need not know what came before.
            fact.is_known = True
        for untold in self.untold:
            untold.clear()
        self.absent.clear()
        self.cache = self.make_cache(
            keys=lambda event: [event.account_id],
            make_storage=lambda: cachetools.LRUCache(self.size),
            take=self.take,
            node_id=lambda: 1,
            confirm=lambda: None,
            is_caught_up=(lambda: not self.says_cut) if self.is_stream else None,
            stale_limit=self.stale_limit,
            on_error=self.keys_failed,
        )
        self.cache.confirmed()

    def keys_failed(self, event: Event, error: Exception) -> None:
        raise error

    # ------------------------------------------------------------------------------- bus

    def take(self) -> Event | Notice | None:
        return self.ring.popleft()[0] if self.ring else None

    def put(self, item: Event | Notice, fact: Fact | None = None) -> None:
        """Put an item into the ring. A full ring drops its oldest event, and says so in its
        place."""
        self.ring.append((item, fact))
        if len(self.ring) > RING_CAPACITY:
            for place, (_, dropped) in enumerate(self.ring):
                if dropped is not None:
                    self.ring[place] = (Missed(dropped.writer, 1, "overflow"), None)
                    break

    def tell_loss(self, writer: int) -> None:
        lost = self.untold[writer]
        if lost:
            self.put(Missed(writer, len(lost), "gap"))
            for fact in lost:
                fact.is_known = True
            lost.clear()

    def commit(self) -> None:
        key, writer = self.random.randrange(self.keys), self.random.randrange(3)
        self.version += 1
        self.committed[key].append((self.step, self.version))
        self.unpublished[writer].append(Fact(key, self.version, writer))
        self.note(f"writer {writer} commits {key}={self.version}")

    def publish(self) -> None:
        writer = self.random.randrange(3)
        if not self.unpublished[writer]:
            return
        fact = self.unpublished[writer].popleft()
        self.facts.append(fact)
        if self.is_stream:
            self.absent.append(fact)
            self.note(f"event {fact.key}={fact.version} is stored")
            self.receive_stored()
        elif self.is_cut:
            self.absent.append(fact)
            self.note(f"event {fact.key}={fact.version} is lost in the absence")
        elif self.random.random() < 0.3:
            self.untold[writer].append(fact)
            self.note(f"event {fact.key}={fact.version} is lost")
        else:
            self.tell_loss(writer)
            fact.is_known = True
            self.put(StateChange(fact.key, fact.version, 1), fact)
            self.note(f"event {fact.key}={fact.version} arrives")

    def receive_stored(self) -> None:
        """Receive the next event of the stream, if the node is on the bus."""
        if self.is_cut:
            return
        if self.absent and self.random.random() < 0.1:
            self.put(Missed(None, None, "retention", messages=1))
            self.absent.popleft().is_known = True
        if self.absent:
            fact = self.absent.popleft()
            fact.is_known = True
            self.put(StateChange(fact.key, fact.version, 1), fact)
            self.note(f"event {fact.key}={fact.version} arrives")
        if self.says_cut and not self.absent:
            self.says_cut = False
            self.note("the node has caught up")

    def beat(self) -> None:
        """A heartbeat shows the loss of the last events."""
        if self.is_stream:
            self.receive_stored()
        elif not self.is_cut:
            self.tell_loss(self.random.randrange(3))

    def crash_writer(self) -> None:
        """End a writer. Events that it has not published never exist, and the node learns of the
        end."""
        writer = self.random.randrange(3)
        self.unpublished[writer].clear()
        if not self.is_cut and not self.is_stream:
            self.tell_loss(writer)
            self.put(Missed(writer, None, "gap"))
        self.note(f"writer {writer} ends")

    def change_connection(self) -> None:
        if self.must_confirm:
            self.must_confirm = self.is_cut = self.says_cut = False
            self.tell_absence()
            self.cache.confirmed()
            self.note("the server knows the subscription")
        elif not self.is_cut:
            self.is_cut = True
            self.note("the connection is cut")
        elif not self.says_cut:
            self.says_cut = True
            self.put(Disconnected("cut"))
            self.note("the node finds out")
        elif self.is_stream:
            self.is_cut = False
            self.put(Reconnected("server"))
            self.note("the node is back")
        else:
            # Until the server knows the subscription, events are lost as before.
            self.must_confirm = True
            self.put(Reconnected("server"))
            self.put(Missed(None, None, "disconnect"))
            self.tell_absence()
            self.note("the node is back")

    def tell_absence(self) -> None:
        for fact in self.absent:
            fact.is_known = True
        self.absent.clear()
        for writer in range(3):
            self.tell_loss(writer)

    def restart(self) -> None:
        if self.random.random() < 0.2:
            self.note("the node restarts")
            self.start()

    # ------------------------------------------------------------------------ reads, loads

    def read(self) -> None:
        key = self.random.randrange(self.keys)
        opened = OpenRead(key, self.step)
        entry = self.cache.lookup(key, self.now)
        if entry is not None:
            self.hits += 1
            self.note(f"read of {key} hits {entry.value.version}")
            self.judge(opened, entry)
            return
        opened.read = Read(key)
        self.cache.begin(opened.read, self.now)
        self.note(f"read of {key} waits")
        self.reads.append(opened)
        self.start_load(opened)

    def start_load(self, opened: OpenRead) -> None:
        assert opened.read is not None
        if opened.read.must_start:
            self.running[opened.read.waited] = None
            self.judge_loads(opened.key)

    def query(self) -> None:
        """The database answers a load; the answer has yet to arrive."""
        waiting = [load for load, value in self.running.items() if value is None]
        if waiting:
            load = self.random.choice(waiting)
            self.running[load] = Value(self.committed[load.key][-1][1], load)
            self.note(f"database answers {load.key}={self.committed[load.key][-1][1]}")

    def finish(self) -> None:
        answered = [load for load, value in self.running.items() if value is not None]
        if answered:
            self.end_load(self.random.choice(answered))

    def fail(self) -> None:
        if self.running and self.random.random() < 0.3:
            load = self.random.choice(list(self.running))
            self.running[load] = None
            self.end_load(load)

    def end_load(self, load: Load[int, Value]) -> None:
        value = self.running.pop(load)
        if value is None:
            self.note(f"load of {load.key} fails")
            self.cache.fail(load, LoadFailed())
        else:
            self.note(f"load of {load.key} gives {value.version}")
            value.ended_at_step = self.step
            self.cache.finish(load, value)
        # Between the end of a load and its readers, other things happen.
        for opened in [each for each in self.reads if each.read and each.read.load is load]:
            if self.random.random() < 0.5:
                self.publish()
            self.end_read(opened)

    def end_read(self, opened: OpenRead) -> None:
        assert opened.read is not None
        if self.cache.ends(opened.read, self.now):
            self.reads.remove(opened)
            self.judge(opened, opened.read.waited)
        else:
            self.start_load(opened)

    def cancel(self) -> None:
        if self.reads and self.random.random() < 0.3:
            opened = self.random.choice(self.reads)
            assert opened.read is not None
            self.reads.remove(opened)
            load = opened.read.waited
            if self.cache.cancel(opened.read, LoadFailed()):
                assert all(each.read is None or each.read.load is not load for each in self.reads)
                del self.running[load]
                assert load.has_ended
            self.note(f"read of {opened.key} is cancelled")

    def process(self) -> None:
        """The task of the cache processes an item."""
        item = self.take()
        if item is not None:
            self.cache.receive(item)

    # ------------------------------------------------------------------------------ judge

    def judge(self, opened: OpenRead, load: Load[int, Value]) -> None:
        if load.error is not None:
            if opened.read is None or not isinstance(load.error, LoadFailed):
                raise Unjust(f"a read fails though no load failed: {load.error!r}")
            return
        value = load.value
        if value.load.key != opened.key:
            raise Unjust(f"a read of {opened.key} returns {value.load.key}")
        newer = [
            fact
            for fact in self.facts
            if fact.is_known and fact.key == opened.key and fact.version > value.version
        ]
        if newer and not self.is_excused(opened, value):
            raise Unjust(
                f"a read of {opened.key} returns {value.version}, and the node could know of"
                f" {newer[-1].version}"
            )
        ran_meanwhile = value.ended_at_step >= opened.began_at_step
        age = self.now - load.began_at
        if self.says_cut and not ran_meanwhile and age >= self.stale_limit:
            raise Unjust(f"a read returns a value of {age:g} s while the node is off the bus")

    def is_excused(self, opened: OpenRead, value: Value) -> bool:
        """Whether the database had this version while the read ran, and the read has tried
        enough."""
        if opened.read is None or opened.read.loads < LOADS_PER_READ:
            return False
        ends = [step for step, version in self.committed[opened.key] if version > value.version]
        return not ends or ends[0] >= opened.began_at_step

    def judge_loads(self, key: int) -> None:
        fresh = [load for load in self.running if load.key == key and self.cache.is_fresh(load)]
        if len(fresh) > 1:
            raise Unjust(f"{len(fresh)} loads of {key} run at the same time")

    def note(self, text: str) -> None:
        self.trace.append(f"{self.step:3} {self.now:5.1f} {text}")

    # --------------------------------------------------------------------------- schedule

    def actions(self) -> Iterator[Callable[[], None]]:
        weighted = {
            self.read: 12,
            self.query: 6,
            self.finish: 6,
            self.fail: 1,
            self.cancel: 1,
            self.commit: 3,
            self.publish: 4,
            self.beat: 1,
            self.process: 2,
            self.change_connection: 0.7,
            self.crash_writer: 0.2,
            self.restart: 0.2,
        }
        steps = self.random.randint(10, 100)
        yield from self.random.choices(list(weighted), list(weighted.values()), k=steps)

    def run(self) -> None:
        """Run the schedule, then end all loads.

        :raises Unjust: the cache has broken a rule.
        """
        for action in self.actions():
            self.step += 1
            self.now += self.random.choice((0.0, 0.1, 0.5))
            action()
        while self.running:
            self.step += 1
            self.query()
            self.finish()
        if self.reads:
            raise Unjust("a read waits for a load that has ended")
        if self.cache.fail_all(LoadFailed()) or self.cache._fences or self.cache._joinable:
            raise Unjust("the cache remembers loads that have ended")


def judge(seeds: Iterable[int], make_cache: Callable[..., Coherence[int, Value]]) -> int:
    """Run many schedules.

    :return: how many reads were answered from memory.
    :raises Unjust: one of them has found a fault; the message has its seed and its steps.
    """
    hits = 0
    for seed in seeds:
        world = World(seed, make_cache)
        try:
            world.run()
        except Unjust as error:
            raise Unjust("\n".join([f"seed {seed}: {error}", *world.trace])) from error
        hits += world.hits
    return hits
