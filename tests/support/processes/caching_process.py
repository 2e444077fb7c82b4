"""A worker with a cache in front of a shared SQLite database: it writes, reads, and judges its
reads.

Usage: ``caching_process.py CONFIG NODE_ID DATABASE SEED``. It prints ``ready``, works until it
receives a line, prints ``paused`` and stops writing, reads every key once more at the next line,
and prints a report.

Beside the cache, a second subscription receives the same items. Before each read it is emptied, so
that the process knows what the read must not contradict:

- an event of another node: no version below that of the event;
- a ``Missed``, or ``Reconnected`` without a stream: no version below what the database had before
  the item arrived;
- ``Disconnected``: only values whose load ended after the read began.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
from typing import Any

import fastcoord
from fastcoord import Disconnected, Missed, Reconnected, StateChange
from fastcoord.cache import Cache

KEYS = 12
READERS = 4


class Database:
    """The rows, each a key with its version."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = OFF")
        with self.connection:
            self.connection.execute(
                "CREATE TABLE IF NOT EXISTS rows (key INTEGER PRIMARY KEY, version INTEGER)"
            )
            self.connection.executemany(
                "INSERT OR IGNORE INTO rows VALUES (?, 0)", [(key,) for key in range(KEYS)]
            )

    def version(self, key: int) -> int:
        row = self.connection.execute("SELECT version FROM rows WHERE key = ?", (key,)).fetchone()
        return int(row[0])

    def versions(self) -> dict[int, int]:
        return dict(self.connection.execute("SELECT key, version FROM rows"))

    def write(self, key: int) -> int:
        row = self.connection.execute(
            "UPDATE rows SET version = version + 1 WHERE key = ? RETURNING version", (key,)
        ).fetchone()
        return int(row[0])


class Row:
    """What a load returns."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.ended_at = 0


class Worker:
    def __init__(self, node: fastcoord.Node, database: Database, seed: int) -> None:
        self.database = database
        self.random = random.Random(seed)
        self.reads = 0
        self.loads_while_following = 0
        self.at_least = dict.fromkeys(range(KEYS), 0)
        self.is_disconnected = False
        self.has_stream = node.config.cluster.stream is not None
        self.violations: list[str] = []
        self.must_stop = asyncio.Event()
        self.watched = node.subscribe(connection=True)
        self.before = database.versions()
        self.cache: Cache[int, Row] = Cache(node, self.load, keys=lambda e: [e.account_id])

    async def load(self, key: int) -> Row:
        self.loads_while_following += self.cache.stats().is_following
        row = Row(self.database.version(key))
        # The time that a database far away needs to answer.
        await asyncio.sleep(self.random.uniform(0, 0.004))
        row.ended_at = self.reads
        return row

    def watch(self) -> None:
        """Note what every later read must obey."""
        while (item := self.watched.take_nowait()) is not None:
            match item:
                case StateChange(account_id=key, change_id=version):
                    self.at_least[key] = max(self.at_least[key], version)
                case Missed() | Reconnected():
                    if isinstance(item, Reconnected):
                        self.is_disconnected = False
                        if self.has_stream:
                            continue
                    for key, version in self.before.items():
                        self.at_least[key] = max(self.at_least[key], version)
                case Disconnected():
                    self.is_disconnected = True
        self.before = self.database.versions()

    async def read(self, key: int) -> None:
        self.watch()
        self.reads += 1
        began_at, is_disconnected, least = self.reads, self.is_disconnected, self.at_least[key]
        row = await self.cache.get(key)
        if row.version < least:
            self.violations.append(f"a read of {key} gives {row.version}, known is {least}")
        if is_disconnected and row.ended_at < began_at:
            self.violations.append(f"a read of {key} is answered from memory while disconnected")

    async def keep_reading(self) -> None:
        while not self.must_stop.is_set():
            await self.read(self.random.randrange(KEYS))
            await asyncio.sleep(0)

    async def keep_writing(self) -> None:
        while not self.must_stop.is_set():
            await self.write(self.random.randrange(KEYS))
            await asyncio.sleep(self.random.uniform(0, 0.02))

    async def write(self, key: int) -> None:
        await self.cache.publish(StateChange(key, self.database.write(key), 1))

    def report(self) -> dict[str, Any]:
        stats = self.cache.stats()
        return {
            "violations": self.violations[:10],
            "reads": self.reads,
            "hits": stats.hits,
            "loads": stats.loads,
            "loads_while_following": self.loads_while_following,
            "joined": stats.joined,
            "overtaken": stats.overtaken,
            "drops": stats.drops,
        }


async def lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def main(config: str, node_id: str, path: str, seed: str) -> None:
    commands = await lines()
    async with fastcoord.connect(config, node_id=int(node_id)) as node:
        worker = Worker(node, Database(path), int(seed))
        async with worker.watched, worker.cache:
            tasks = [asyncio.create_task(worker.keep_reading()) for _ in range(READERS)]
            tasks.append(asyncio.create_task(worker.keep_writing()))
            print("ready", flush=True)
            await commands.readline()
            worker.must_stop.set()
            await asyncio.gather(*tasks)
            await node.flush()
            print("paused", flush=True)
            # Now all workers have stopped. One more write of each key reaches all others.
            while command := (await commands.readline()).decode().strip():
                if command == "write":
                    for key in range(KEYS):
                        await worker.write(key)
                    await node.flush()
                    print("written", flush=True)
                elif command == "read":
                    seen = {key: (await worker.cache.get(key)).version for key in range(KEYS)}
                    print(json.dumps(seen == worker.database.versions()), flush=True)
                else:
                    print(json.dumps(worker.report()), flush=True)


asyncio.run(main(*sys.argv[1:]))
