"""Exceptions at the entry of callbacks lose no event in silence; ``make interrupts`` tries all."""

from __future__ import annotations

import random

import pytest

from fastcoord.server import LocalServer
from interrupts.run import KINDS, failures, functions

SEED = 10
CALLBACKS = (
    "_repeating:_run:",
    "nats.supervisor:connection_lost:",
    "nats.supervisor:_watch:",
    "_session:connection_up:",
    "_session:connection_down:",
    "publishing.sender:_flush:",
    "publishing.sender:_answered:",
)


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_callbacks_lose_nothing(server: LocalServer, kind: str) -> None:
    names = functions(server)
    chosen = [each for each in names if each.startswith(CALLBACKS)]
    assert len(chosen) == len(CALLBACKS)
    chosen += random.Random(SEED).sample(sorted(set(names) - set(chosen)), 3)
    assert failures(server, chosen, [kind]) == {}
