"""Exceptions in callbacks lose no event in silence; ``make interrupts`` tries every place."""

from __future__ import annotations

import random

import pytest

from fastcoord.server import LocalServer
from interrupts.run import KINDS, failures, points
from support.loops import LOOPS

SEED = 10
SAMPLE = 3
"""How many places the test command tries for each exception and event loop, beside these."""

IMPORTANT = (
    "connected _repeating:_run:",
    "connected publishing.batch_writer:_answered:",
    "lost nats.supervisor:connection_lost:",
    "lost _session.connection_events:connection_up:",
    "lost _session.connection_events:peers_are_back:",
)


# The exception may come between the creation of a coroutine and that of its task.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_callbacks_lose_nothing(server: LocalServer, kind: str, loop: str) -> None:
    known = sorted(points(server, loop))
    chosen = [
        next(each for each in known if str(each).startswith(place) and ">" not in each.place)
        for place in IMPORTANT
    ]
    chosen += random.Random(f"{SEED} {kind} {loop}").sample(known, SAMPLE)
    wrong, _ = failures(server, chosen, [kind], loop)
    assert wrong == {}
