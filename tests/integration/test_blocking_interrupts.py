"""An exception of a signal handler, such as Ctrl-C, interrupts the read of a thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import fastcoord
from fastcoord import EmailPush, blocking
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.wait import wait_until

SOURCE = str(Path(fastcoord.__file__).parent)
EVENTS = 60
LONGEST = 12
"""More than the places of one read at which the interpreter calls signal handlers."""

Read = Callable[[], Any]


def step(iterator: Any) -> Any:
    for item in iterator:
        return item
    return None


def readers(events: blocking.Subscription[EmailPush]) -> dict[str, Read]:
    each, batches = iter(events), events.batches()
    return {
        "next": events.next,
        "take_nowait": events.take_nowait,
        "for": lambda: step(each),
        "batches": lambda: step(batches),
    }


def interrupted(read: Read, place: int) -> Any:
    """Read, and raise KeyboardInterrupt at one of the places where a signal handler can raise.

    :param place: the number of the place.
    """
    passed = 0

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal passed
        if event != "return" and frame.f_code.co_filename.startswith(SOURCE):
            passed += 1
            if passed == place:
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        return read()
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("way", ["next", "take_nowait", "for", "batches"])
def test_interrupted_read_loses_nothing(
    shared_server: LocalServer, cluster: dict[str, Any], way: str
) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    with (
        blocking.connect(config, node_id=1) as sender,
        blocking.connect(config, node_id=2) as receiver,
        receiver.subscribe(timeout=1.0) as events,
    ):
        for number in range(EVENTS):
            sender.publish(EmailPush(1, number, 1))
            sender.flush()
        wait_until(lambda: events.stats().arrived == EVENTS)
        read = readers(events)[way]
        received: list[Any] = []
        interrupts = 0
        while len(received) < EVENTS:
            for place in range(1, LONGEST):
                try:
                    item = interrupted(read, place)
                except KeyboardInterrupt:
                    interrupts += 1
                else:
                    received += item if way == "batches" else [item]
                if len(received) == EVENTS:
                    break
        assert received == [EmailPush(1, number, 1) for number in range(EVENTS)]
        assert interrupts or way != "next"
