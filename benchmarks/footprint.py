"""Memory for each buffered event, and the time of imports."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import data, msgspec_events
from fastcoord.receiving.ring import Ring

EVENTS = 200_000
IMPORTS = {
    "fastcoord": "import fastcoord",
    "nats-py": "import nats",
    "nats-py and msgspec": "import nats, msgspec",
    "fastcoord with its codec": "import fastcoord; fastcoord.encode_batch",
    "fastcoord, ready to connect": "import fastcoord; fastcoord.connect, fastcoord.Node",
}
CLOCK = (
    "import time; s = time.perf_counter(), time.process_time(); {};"
    " print(time.perf_counter() - s[0], time.process_time() - s[1])"
)


def held(fill: Callable[[], Any]) -> int:
    """Measure the bytes that Python's allocators hold for an object."""
    gc.collect()
    tracemalloc.start()
    kept = fill()
    gc.collect()
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return held_bytes


def ring_of(payloads: Callable[[int], bytes], per_message: int) -> Callable[[], Ring]:
    """Return a function that fills a ring with ``EVENTS`` events."""

    def fill() -> Ring:
        ring = Ring(EVENTS, 1 << 34)
        for number in range(EVENTS // per_message):
            ring.put_message(payloads(number), 1, per_message, 2, 1.0)
        assert ring.buffered == EVENTS // per_message * per_message
        return ring

    return fill


def queue_of(objects: Callable[[int], Any]) -> Callable[[], asyncio.Queue[Any]]:
    """Return a function that fills a queue with ``EVENTS`` objects."""

    def fill() -> asyncio.Queue[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for number in range(EVENTS):
            queue.put_nowait(objects(number))
        return queue

    return fill


def memory() -> list[dict[str, Any]]:
    """Measure the bytes of each buffered event."""
    rows = []
    for per_message in (1, 10, 100, 1_000):
        batches = [data.state_changes(per_message, data.SEED + number) for number in range(50)]
        encoded = [data.payload(batch) for batch in batches]
        # Each message has its own payload, like messages from a socket.
        fill = ring_of(lambda number, e=encoded: bytes(bytearray(e[number % 50])), per_message)
        on_wire = sum(map(len, encoded)) / (50 * per_message)
        rows.append(
            {
                "name": f"fastcoord, {per_message} events a message",
                "bytes": held(fill) / EVENTS,
                "wire": on_wire,
            }
        )
    events = data.state_changes(1_000)
    structs = msgspec_events.as_state_changes(events)
    msgpack = [msgspec_events.encoder.encode(each) for each in structs]
    decode = msgspec_events.state_change_decoder.decode
    rows.append(
        {
            "name": "asyncio.Queue of msgspec Structs",
            "bytes": held(queue_of(lambda number: decode(msgpack[number % 1_000]))) / EVENTS,
            "wire": sum(map(len, msgpack)) / 1_000,
        }
    )
    return rows


def import_time(statement: str, folder: str) -> tuple[float, ...]:
    """Return the elapsed time and the CPU time of an import, in milliseconds.

    :param folder: where the interpreter keeps the bytecode of the modules.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", CLOCK.format(statement)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return tuple(1e3 * float(each) for each in done.stdout.split())


def imports(rounds: int) -> list[dict[str, Any]]:
    """Measure imports in fresh interpreters, alternately, in milliseconds.

    Like after an installation with pip, each module is compiled to bytecode before it is measured.
    """
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in IMPORTS}
    with TemporaryDirectory() as folder:
        for each_round in range(-1, rounds):
            for name, statement in IMPORTS.items():
                taken = import_time(statement, folder)
                if each_round >= 0:
                    times[name].append(taken)
    rows = []
    for name, pairs in times.items():
        wall, used = zip(*pairs, strict=True)
        rows.append(
            {
                "name": name,
                "wall": statistics.median(wall),
                "wall_least": min(wall),
                "wall_most": max(wall),
                "cpu": statistics.median(used),
                "cpu_least": min(used),
                "cpu_most": max(used),
                "rounds": rounds,
            }
        )
    return rows
