"""Workers with caches in front of one database, while servers and workers are killed."""

import asyncio
import json
import random
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import StateChange, blocking
from fastcoord.cache import BlockingCache
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.scale import repeats
from support.wait import until

SCRIPT = Path(__file__).parents[1] / "support" / "processes" / "caching_process.py"
LIMIT = 120.0
PATIENT = {"connection": "30s"}
"""The time in which a worker connects on a busy machine too."""


class Worker:
    """A running ``caching_process.py``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, folder: Path, node_id: int, seed: int) -> "Worker":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SCRIPT), str(folder / "node.toml"), str(node_id)),
            *(str(folder / "rows.sqlite"), str(seed)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        worker = cls(process)
        assert await worker.line() == "ready"
        return worker

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), LIMIT)).decode().strip()

    async def ask(self, command: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        return await self.line()

    async def end(self) -> None:
        if self.process.returncode is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
        assert await asyncio.wait_for(self.process.wait(), LIMIT) in (0, -9)


async def written(folder: Path, more: int) -> None:
    """Wait until the workers have written some rows more."""
    with sqlite3.connect(folder / "rows.sqlite", timeout=60) as database:
        count = "SELECT sum(version) FROM rows"
        before = database.execute(count).fetchone()[0]
        await until(lambda: database.execute(count).fetchone()[0] >= before + more)
    database.close()


@pytest.fixture
def stream_server() -> Iterator[LocalServer]:
    with LocalServer(jetstream=True) as running:
        yield running


@pytest.mark.slow
async def test_killed_cluster_reads_nothing_stale(
    server: LocalServer, tmp_path: Path, record_property: Any
) -> None:
    (tmp_path / "node.toml").write_text(
        node_toml(server, cluster={"heartbeat": "200ms"}, timeout=PATIENT)
    )
    reports = await work_while_killing(server, tmp_path)
    record_property("reports", reports)
    for report in reports:
        assert {"event", "absence", "program"} <= set(report["drops"])


@pytest.mark.slow
async def test_killed_stream_reads_nothing_stale(
    stream_server: LocalServer, tmp_path: Path, record_property: Any
) -> None:
    cluster = {"heartbeat": "200ms", "subject": "cached", "stream": "CACHED"}
    (tmp_path / "node.toml").write_text(node_toml(stream_server, cluster=cluster, timeout=PATIENT))
    async with PlainPeer(stream_server.url) as peer:
        await peer.client.jetstream(timeout=60).add_stream(
            name="CACHED", subjects=["cached"], duplicate_window=120
        )
    reports = await work_while_killing(stream_server, tmp_path)
    record_property("reports", reports)
    for report in reports:
        # No absence drops an entry; neither does anything else that no event names.
        assert set(report["drops"]) == {"event", "program"}


async def work_while_killing(server: LocalServer, tmp_path: Path) -> list[dict[str, Any]]:
    """Let three workers read and write while the server is killed twice, and one worker once.

    :return: the report of each worker.
    """
    workers = await asyncio.gather(
        *(Worker.start(tmp_path, number, number) for number in (1, 2, 3))
    )
    try:
        for round_number in range(repeats(1, long=5)):
            await written(tmp_path, 60)
            await kill_server(server, tmp_path)
            workers[2].process.kill()
            await workers[2].process.wait()
            await written(tmp_path, 30)
            workers[2] = await Worker.start(tmp_path, 3, 10 + round_number)
            await written(tmp_path, 30)
            await kill_server(server, tmp_path)
            await written(tmp_path, 60)
        assert [await worker.ask("pause") for worker in workers] == ["paused"] * 3
        assert await workers[0].ask("write") == "written"
        for worker in workers:
            await until(lambda worker=worker: reads_newest(worker))
        reports = [json.loads(await worker.ask("report")) for worker in workers]
    finally:
        for worker in workers:
            await worker.end()
    print(*reports, sep="\n")
    assert [report["violations"] for report in reports] == [[], [], []]
    # During an absence, which is long on a busy machine, every read is a load.
    for report in reports[:2]:
        assert report["hits"] > report["loads_while_following"] > 0
    assert reports[2]["hits"] > 0
    return reports


@pytest.mark.slow
async def test_threads_read_nothing_stale(server: LocalServer) -> None:
    config = fastcoord.parse_config(node_toml(server, cluster={"heartbeat": "200ms"}))
    with (
        blocking.connect(config, node_id=1) as writer,
        blocking.connect(config, node_id=2) as node,
        node.subscribe() as watched,
        BlockingCache(node, lambda key: rows[key], keys=lambda event: [event.account_id]) as cache,
    ):
        rows = dict.fromkeys(range(5), 0)
        known = dict(rows)
        lock = threading.Lock()
        stale: list[str] = []
        must_stop = threading.Event()

        def write() -> None:
            while not must_stop.wait(0.001):
                key = random.randrange(5)
                rows[key] += 1
                writer.publish(StateChange(key, rows[key], 1))

        def read() -> None:
            while not must_stop.is_set():
                with lock:
                    while (item := watched.take_nowait()) is not None:
                        if isinstance(item, StateChange):
                            known[item.account_id] = item.change_id
                key = random.randrange(5)
                least = known[key]
                version = cache.get(key)
                if version < least:
                    stale.append(f"a read of {key} gives {version}, known is {least}")

        threads = [threading.Thread(target=read) for _ in range(8)]
        threads.append(threading.Thread(target=write))
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                before = cache.stats()
                reached = before.drops.get("event", 0) + 100
                await until(lambda least=reached: cache.stats().drops.get("event", 0) >= least)
                # During an absence every read is a load, so only the time of following counts.
                after = cache.stats()
                assert after.hits - before.hits > after.loads - before.loads > 0
                server.kill()
                await until(lambda: not cache.stats().is_following)
                await server.start_async()
                await until(lambda: cache.stats().is_following)
        finally:
            must_stop.set()
            for thread in threads:
                thread.join()
        assert stale == []
        await until(lambda: {key: cache.get(key) for key in rows} == rows)


async def kill_server(server: LocalServer, folder: Path) -> None:
    server.kill()
    # Writing goes on without the bus.
    await written(folder, 30)
    await server.start_async()


async def reads_newest(worker: Worker) -> bool:
    return await worker.ask("read") == "true"
