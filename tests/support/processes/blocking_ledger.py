"""Eight threads publish through one blocking node; the server is killed twice, the process forks.

Run as ``python blocking_ledger.py HEARTBEAT``. Prints one JSON object: what was sent, received and
reported as missed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fastcoord
from fastcoord import EmailPush, Missed, NodeClosed, blocking
from fastcoord.server import LocalServer
from support.cluster.accounting import assert_sums
from support.cluster.nodes import node_toml
from support.wait import wait_until

THREADS = 8
SECONDS = 100.0


class Publishers:
    """The threads that publish; each numbers its own events."""

    def __init__(self, node: blocking.Node) -> None:
        self.node = node
        self.sent = [0] * THREADS
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._publish, args=(each,)) for each in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def _publish(self, thread: int) -> None:
        while not self._stop.is_set():
            for _ in range(10):
                self.node.publish(EmailPush(thread, self.sent[thread], 0))
                self.sent[thread] += 1
            numbers = range(self.sent[thread], self.sent[thread] + 10)
            self.node.publish_many([EmailPush(thread, number, 0) for number in numbers])
            self.sent[thread] += 10
            time.sleep(0.002)

    def progress(self) -> None:
        """Wait until every thread has published more."""
        before = list(self.sent)
        wait_until(lambda: all(now > then for now, then in zip(self.sent, before, strict=True)))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS)


class Reader:
    """What another node receives."""

    def __init__(self, node: blocking.Node) -> None:
        self.received = 0
        self.missed: Counter[str] = Counter()
        self.out_of_order: list[str] = []
        self._events = node.subscribe()
        self._last = [-1] * THREADS
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for event in self._events:
            if isinstance(event, EmailPush):
                if event.email_id <= self._last[event.account_id]:
                    self.out_of_order.append(f"{event} after {self._last[event.account_id]}")
                self._last[event.account_id] = event.email_id
                self.received += 1
            elif isinstance(event, Missed) and event.events is not None:
                self.missed[event.cause] += event.events

    @property
    def accounted(self) -> int:
        return self.received + sum(self.missed.values())

    def join(self) -> None:
        self._thread.join(SECONDS)


def fork(node: blocking.Node) -> list[str]:
    """Fork; return what the calls of the child raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found = []
        for _ in range(THREADS):
            try:
                node.publish(EmailPush(99, 0, 0))
            except NodeClosed as error:
                found.append(type(error).__name__)
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    found = json.loads(os.read(reading, 4096))
    os.close(reading)
    return list(found)


def have_reconnected(count: int, *nodes: blocking.Node) -> Callable[[], bool]:
    """Return a condition: each node has reconnected so many times."""
    return lambda: all(node.stats().reconnects >= count for node in nodes)


def main(heartbeat: str) -> dict[str, Any]:
    with LocalServer() as server:
        cluster = {"protocol": "fastcoord-1", "heartbeat": heartbeat}
        config = fastcoord.parse_config(node_toml(server, cluster=cluster))
        with (
            blocking.connect(config, node_id=1) as one,
            blocking.connect(config, node_id=2) as two,
        ):
            reader = Reader(two)
            publishers = Publishers(one)
            publishers.progress()
            child: list[str] = []
            for kill in range(2):
                server.kill()
                wait_until(lambda: not one.is_connected and not two.is_connected)
                publishers.progress()
                if kill == 0:
                    child = fork(one)
                server.restart()
                # A connection that is lost before the server has answered counts as no reconnect.
                wait_until(have_reconnected(kill + 1, one, two))
                publishers.progress()
            publishers.stop()
            one.flush(timeout=SECONDS)
            sent = sum(publishers.sent)
            wait_until(lambda: reader.accounted >= sent)
            for node in (one, two):
                assert_sums(node.stats())
            stats = one.stats()
        reader.join()
    return {
        "child": child,
        "sent": sent,
        "received": reader.received,
        "missed": sum(reader.missed.values()),
        "out_of_order": reader.out_of_order,
        "confirmed": stats.confirmed,
        "reconnects": stats.reconnects,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
