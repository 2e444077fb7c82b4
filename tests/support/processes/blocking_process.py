"""A process that uses a blocking node and is interrupted, exits or forks.

Run as ``python blocking_process.py CONFIG WHAT``. ``WHAT`` is one of the functions in ``ACTIONS``.
Each prints one JSON object.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

REPORTED: list[Any] = []
"""Nodes whose confirmed events are printed at the very end."""


def report_at_end() -> None:
    for node in REPORTED:
        say(confirmed=node.stats().confirmed)


# Functions of atexit run in reverse order: this one runs after that of fastcoord.blocking.
atexit.register(report_at_end)

from fastcoord import AppEvent, EmailPush, blocking  # noqa: E402

EVENTS = 5000
KEPT: list[Any] = []
"""What lives until the interpreter exits."""


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def interrupt_when_waiting(*names: str) -> threading.Thread:
    """Send SIGINT to this process when its main thread is below these functions.

    It must wait for a lock there, or be in a compiled iterator.
    """
    main = threading.main_thread().ident
    assert main is not None

    def watch() -> None:
        before = None
        while True:
            frame = sys._current_frames()[main]
            innermost = frame.f_code.co_filename
            place = (frame.f_code, frame.f_lasti)
            functions = set()
            while frame is not None:
                functions.add(frame.f_code.co_name)
                frame = frame.f_back  # type: ignore[assignment]
            waits = innermost.endswith(("threading.py", "_subscription.py", "blocking_process.py"))
            # An exception between two instructions of ``threading`` may leave a lock held.
            if waits and functions.issuperset(names) and place == before:
                os.kill(os.getpid(), signal.SIGINT)
                return
            before = place
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def interrupted(call: Callable[[], object], *names: str) -> str:
    """Make a call that is interrupted while it waits; return the name of the exception."""
    watching = interrupt_when_waiting(*names)
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - the test looks at it
        return type(error).__name__
    finally:
        watching.join()
    return "no exception"


def interrupt_reading(config: str) -> None:
    """Interrupt ``next``, ``for`` and ``batches``; then read on."""

    def read_first(iterator: Iterator[object]) -> object:
        return next(iterator)

    with blocking.connect(config, node_id=1) as node, node.subscribe() as events:
        each, batches = iter(events), events.batches()
        found = [
            interrupted(events.next, "next"),
            interrupted(lambda: read_first(each), "read_first"),
            interrupted(lambda: read_first(batches), "read_first"),
        ]
        with blocking.connect(config, node_id=3) as other:
            other.publish(EmailPush(1, 2, 3))
            other.flush()
        say(found=found, then=repr(events.next(timeout=60)))


def interrupt_writing(config: str) -> None:
    """Interrupt ``publish`` and ``flush`` without a server; the server then starts again."""
    node = blocking.connect(config, node_id=1)
    with node:
        say(ready=True)
        sys.stdin.readline()
        while node.is_connected:
            time.sleep(0.01)
        number = 0

        def fill() -> None:
            nonlocal number
            while True:
                node.publish(AppEvent(1, number.to_bytes(4, "big") * 50))
                number += 1

        found = [interrupted(fill, "publish_rest", "run"), interrupted(node.flush, "flush", "run")]
        say(found=found, published=number)
        sys.stdin.readline()
        node.flush(timeout=60)
        say(accepted=node.stats().accepted, confirmed=node.stats().confirmed)


def interrupt_closing(config: str) -> None:
    """Interrupt ``close`` without a server, which then starts again; the exit waits for the end."""
    node = blocking.connect(config, node_id=1)
    REPORTED.append(node)
    say(ready=True)
    sys.stdin.readline()
    publish_events(node)
    say(found=[interrupted(lambda: node.close(timeout=100), "close", "run")])


def interrupt_connecting(config: str) -> None:
    """Interrupt ``connect`` to a server that accepts and never answers."""
    found = interrupted(lambda: blocking.connect(config, node_id=1), "connect", "run")
    say(found=[found], threads=[each.name for each in threading.enumerate()])


def publish_events(node: blocking.Node) -> None:
    for number in range(EVENTS):
        node.publish(EmailPush(1, number, 0))


def exit_at_end(config: str) -> None:
    """Publish and end the script; the node is still referred to."""
    KEPT.append(blocking.connect(config, node_id=1))
    publish_events(KEPT[0])


def exit_with_error(config: str) -> None:
    """Publish and fail."""
    KEPT.append(blocking.connect(config, node_id=1))
    publish_events(KEPT[0])
    raise RuntimeError("the program has failed")


def exit_in_thread(config: str) -> None:
    """Publish in a thread that outlives the main thread."""
    KEPT.append(blocking.connect(config, node_id=1))
    threading.Thread(target=publish_events, args=KEPT).start()
    sys.exit(3)


def exit_after_drop(config: str) -> None:
    """Publish and drop the node without closing it."""
    publish_events(blocking.connect(config, node_id=1))


def exit_without_server(config: str) -> None:
    """Publish while there is no server, and end the script."""
    KEPT.append(blocking.connect(config, node_id=1))
    say(ready=True)
    sys.stdin.readline()
    publish_events(KEPT[0])


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return f"{type(error).__name__}: {error}"
    return "no exception"


def child_calls(node: blocking.Node, events: blocking.Subscription) -> dict[str, str]:
    """Make every call in a forked child."""
    event = EmailPush(9, 9, 9)
    return {
        "publish": outcome(lambda: node.publish(event)),
        "publish_many": outcome(lambda: node.publish_many([event])),
        "publish_nowait": outcome(lambda: node.publish_nowait(event)),
        "flush": outcome(node.flush),
        "subscribe": outcome(node.subscribe),
        "stats": outcome(node.stats),
        "peers": outcome(node.peers),
        "ping": outcome(lambda: node.ping(2)),
        "close": outcome(node.close),
        "next": outcome(events.next),
        "iterate": outcome(lambda: next(iter(events))),
    }


def fork(config: str, ending: str = "exit") -> None:
    """Fork while a thread reads and another publishes; parent and child use the node."""
    reading, writing = os.pipe()
    with blocking.connect(config, node_id=1) as node, node.subscribe() as events:
        reader = threading.Thread(target=lambda: [None for _ in events])
        reader.start()
        publisher = threading.Thread(target=publish_events, args=(node,))
        publisher.start()
        with warnings.catch_warnings():
            # From Python 3.12 on, each fork of a process with threads is reported.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded")
            child = os.fork()
        if child == 0:
            os.write(writing, json.dumps(child_calls(node, events)).encode())
            if ending == "unwind":
                sys.exit(7)  # through `with` and the functions of atexit
            if ending == "reconnect":
                with blocking.connect(config, node_id=3) as own:
                    own.publish(EmailPush(3, 3, 3))
                    own.flush()
            del node, events
            gc.collect()
            os._exit(7)
        publisher.join()
        _, status = os.waitpid(child, 0)
        node.publish(EmailPush(1, EVENTS, 0))
        node.flush()
        stats = node.stats()
        say(
            child=json.loads(os.read(reading, 65536)),
            status=os.waitstatus_to_exitcode(status),
            confirmed=stats.confirmed,
            reconnects=stats.reconnects,
        )
        events.close()
        reader.join()


def fork_and_unwind(config: str) -> None:
    """Fork; the child leaves ``with`` and exits."""
    fork(config, "unwind")


def fork_and_reconnect(config: str) -> None:
    """Fork; the child connects a node of its own."""
    fork(config, "reconnect")


ACTIONS = {
    action.__name__: action
    for action in (
        interrupt_reading,
        interrupt_writing,
        interrupt_closing,
        interrupt_connecting,
        exit_at_end,
        exit_with_error,
        exit_in_thread,
        exit_after_drop,
        exit_without_server,
        fork,
        fork_and_unwind,
        fork_and_reconnect,
    )
}

if __name__ == "__main__":
    ACTIONS[sys.argv[2]](sys.argv[1])
