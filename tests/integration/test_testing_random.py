"""Random faults of the bus in memory: nodes deliver every event once, or report it as missing."""

from __future__ import annotations

import random

import pytest

from fastcoord.testing import Bus
from support.cluster.crowd import Crowd, crowd

ROUNDS = 40
NODES = (1, 2, 3)


def make_fault(bus: Bus, chance: random.Random) -> None:
    """Make one fault at random."""
    node, other = chance.sample(NODES, 2)
    kind = chance.randrange(9)
    if kind == 0:
        bus.cut(node)
    elif kind == 1:
        bus.disconnect(node)
    elif kind == 2:
        bus.stall(node)
    elif kind == 3:
        bus.delay(node, chance.choice((0.01, 0.1, 0.5)))
    elif kind == 4:
        bus.lose(node, chance.randrange(1, 4), published=chance.random() < 0.5)
    elif kind == 5:
        bus.part(node, other)
    elif kind == 6:
        bus.kill()
    elif kind == 7:
        bus.freeze()
    else:
        bus.refuse(node, publish=chance.random() < 0.5, subscribe=True)


def end_faults(bus: Bus) -> None:
    """End all faults."""
    for node in NODES:
        bus.restore(node)
    bus.heal()
    bus.thaw()
    bus.start()


async def play(bus: Bus, members: Crowd, chance: random.Random) -> None:
    """Make faults while all nodes publish."""
    for _ in range(ROUNDS):
        for _ in range(chance.randrange(1, 3)):
            make_fault(bus, chance)
        for _ in range(chance.randrange(1, 5)):
            for node in members.nodes:
                members.ledger.publish_nowait(node, chance.randrange(1, 4))
            await bus.clock.advance(chance.choice((0, 0.01, 0.1, 1)))
        end_faults(bus)
        await bus.clock.advance(chance.choice((0, 0.1, 2)))


@pytest.mark.parametrize("seed", range(5))
async def test_random_faults_keep_accounts(seed: int) -> None:
    with Bus(seed=seed) as bus:
        async with crowd(bus, len(NODES)) as members:
            await play(bus, members, random.Random(seed))
            await bus.clock.advance(60)
            assert members.is_connected
            for node in members.nodes:
                members.ledger.publish_nowait(node)
            await members.even()
            assert sum(node.stats().reconnects for node in members.nodes) > ROUNDS / 4
            assert members.ledger.missed()
            assert 0.1 < members.ledger.share < 1
